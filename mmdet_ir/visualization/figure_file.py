"""Pictures of matplotlib that are never seen half-written."""

import os
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from ..fileio import whole_file

# Of plots with axes, for matplotlib's rc_context.
PLOT_STYLE = {
    'font.size': 9,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.grid': True,
    'grid.color': '#e4e4e4',
    'axes.axisbelow': True,
}
_SAVING = {'pdf.fonttype': 42, 'svg.hashsalt': 'mmdet_ir'}  # TrueType in PDF for publishers; repeatable SVG


def save_figure(figure: Figure, path: str | os.PathLike) -> None:
    """Saves a figure as a whole or not at all; makes missing folders.

    Raises:
        ValueError: If the ending is none of the formats that matplotlib writes, or the disk is full or protected.
    """
    path = Path(path)
    kinds = figure.canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in kinds:
        raise ValueError(f'{path}: expected a picture whose name ends in one of {sorted(kinds)}, got {path.suffix!r}')
    with rc_context(_SAVING), whole_file(path) as file:
        figure.savefig(file, dpi=figure.dpi, format=path.suffix[1:].lower())
