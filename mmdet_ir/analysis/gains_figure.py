"""What each part of the method gains, in the paper and here, with error bars over seeds: all tables in one figure."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..experiments.cells import Table
from ..experiments.gains import Gain
from ..experiments.paper_tables import FilledTable, paper_gain_by_config
from ..visualization.figure_file import PLOT_STYLE, save_figure

COLUMN = 'mAP'
_HERE, _PAPER, _ABSENT = '#0072b2', '#d55e00', '0.55'  # told apart without colour vision, too
_WIDTH, _LINE = 6.0, 0.155  # inches
_STYLE = {
    **PLOT_STYLE,
    'font.size': 7,
    'axes.spines.left': False,
    'axes.linewidth': 0.6,
    'axes.grid.axis': 'x',
    'grid.linewidth': 0.5,
    'ytick.major.size': 0,
}


@dataclass(frozen=True)
class GainLine:
    """A line of the figure.

    Attributes:
        title: Of the cell, or of a table.
        heading: Whether it is the title of a table.
        runs: Number of runs here.
        here: The gain here; ``None`` where the cell or its baseline was not run.
        paper: The paper's gain; ``None`` where it has none.
    """

    title: str
    heading: bool = False
    runs: int = 0
    here: Gain | None = None
    paper: float | None = None


def gain_lines(tables: Iterable[FilledTable], paper: dict[str, float]) -> list[GainLine]:
    """The lines of the figure: each cell once, in the first table that has it, below the title of the table.

    Args:
        tables: Of one size and data set.
        paper: The paper's gain by config, for cells of tables that the paper does not have.
    """
    lines, drawn = [], set()
    for table in tables:
        baseline, *rows = table.rows
        rows = [row for row in rows if row.config not in drawn | {baseline.config}]
        drawn |= {row.config for row in rows}
        lines += [GainLine(f'{table.title}, over {baseline.title}', heading=True)] if rows else []
        for row in rows:
            gain = table.paper_gain(row, COLUMN)
            gain = paper.get(row.config) if gain is None else gain
            lines.append(GainLine(row.title, False, len(row.runs), table.gain(row, COLUMN), gain))
    return lines


def plot_gains(filled: Sequence[FilledTable], tables: Iterable[Table], out: str | os.PathLike) -> None:
    """Draws and saves :func:`gains_figure`.

    Args:
        filled: Tables of one size and data set, as ``load_filled`` returns them.
        tables: All tables, for the paper's gains.
        out: Where the figure goes; the ending decides its format.

    Raises:
        ValueError: If there is no table.
    """
    if not filled:
        raise ValueError('expected at least one table with a run, got none')
    lines = gain_lines(filled, paper_gain_by_config(tables))
    save_figure(gains_figure(lines, filled[0].runs[0]['data_title']), out)


def gains_figure(lines: Sequence[GainLine], data_title: str) -> Figure:
    """A line for each cell: its gain in mAP over the baseline of its table, here and in the paper.

    A filled point has a bar of two standard errors to each side: where the bar touches zero there is no difference. An
    open point is a single run, whose error is not known.

    Args:
        lines: See :func:`gain_lines`.
        data_title: Name of the data.
    """
    with rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, 0.9 + _LINE * len(lines)), dpi=200, layout='constrained')
        axes = figure.subplots()
        axes.axvline(0, color='0.3', linewidth=0.8)
        for height, line in enumerate(lines):
            _draw_line(axes, height, line)
        axes.set_ylim(len(lines) - 0.4, -0.8)
        axes.set_yticks(range(len(lines)), [_label(line) for line in lines])
        for label, line in zip(axes.get_yticklabels(), lines, strict=True):
            label.set_fontweight('bold' if line.heading else 'normal')
            label.set_color(_ABSENT if not line.heading and not line.runs else '0.1')
        axes.set_xlabel('gain in mask mAP, points')
        figure.suptitle(data_title, fontsize=7)
        _key(axes, lines)
        return figure


def _label(line: GainLine) -> str:
    return line.title if line.heading else f'{line.title}   ' + (f'n={line.runs}' if line.runs else 'not run')


def _draw_line(axes: Axes, height: int, line: GainLine) -> None:
    if line.paper is not None:
        axes.plot(line.paper, height, 'D', color=_PAPER, markerfacecolor='none', markersize=4)
    if line.here is not None and line.here.error is None:
        axes.plot(line.here.value, height, 'o', color=_HERE, markerfacecolor='white', markersize=4)
    elif line.here is not None:
        axes.errorbar(line.here.value, height, xerr=2 * line.here.error, fmt='o', color=_HERE, markersize=4, capsize=2)


def _key(axes: Axes, lines: Sequence[GainLine]) -> None:
    handles = []
    if any(line.here is not None and line.here.error is not None for line in lines):
        bar = axes.errorbar([], [], xerr=[], fmt='o', color=_HERE, markersize=4, capsize=2)
        handles.append((bar, 'here, n seeds, ± 2 standard errors'))
    if any(line.here is not None and line.here.error is None for line in lines):
        point = axes.plot([], [], 'o', color=_HERE, markerfacecolor='white', markersize=4)[0]
        handles.append((point, 'here, one seed of this cell'))
    if any(line.paper is not None for line in lines):
        handles.append((axes.plot([], [], 'D', color=_PAPER, markerfacecolor='none', markersize=4)[0], 'paper'))
    if handles:
        axes.figure.legend(*zip(*handles, strict=True), loc='outside lower center', ncols=3, frameon=False, fontsize=6)
