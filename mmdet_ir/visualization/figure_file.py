"""Pictures of matplotlib that are never seen half-written."""

import os
from pathlib import Path

from matplotlib.figure import Figure

# Of plots with axes, for matplotlib's rc_context.
PLOT_STYLE = {
    'font.size': 9,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.grid': True,
    'grid.color': '#e4e4e4',
    'axes.axisbelow': True,
}


def save_figure(figure: Figure, path: str | os.PathLike) -> None:
    """Save a figure under a temporary name beside ``path``, then rename; makes missing folders.

    Raises:
        ValueError: If the ending is none of the formats that matplotlib writes.
    """
    path = Path(path)
    kinds = figure.canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in kinds:
        raise ValueError(f'{path}: expected a picture whose name ends in one of {sorted(kinds)}, got {path.suffix!r}')
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{os.getpid()}.{path.name}')
    try:
        figure.savefig(temporary, dpi=figure.dpi)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
