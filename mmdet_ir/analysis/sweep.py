"""Scores over a setting, such as the focal exponent, with error bars over seeds (Fig. 9 of the paper)."""

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..evaluation.rows import COLUMNS
from ..visualization.figure_file import save_figure

PANELS = ('Recall', *(column for column in COLUMNS if column != 'Recall'))
Scores = Mapping[str, float | None]  # fractions, by column
_COLUMN = 3.5  # inches: one column of a page
_STYLE = {
    'font.size': 7,
    'axes.labelsize': 7,
    'axes.titlesize': 7,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.linewidth': 0.6,
    'axes.grid': True,
    'axes.grid.axis': 'y',
    'grid.color': '#e4e4e4',
    'grid.linewidth': 0.5,
    'axes.axisbelow': True,
    'xtick.labelsize': 6,
    'ytick.labelsize': 6,
}
_MEAN, _SEED, _PAPER, _ABSENT = '#0072b2', '#56b4e9', '#d55e00', '0.55'  # told apart without colour vision, too


def plot_sweep(
    points: Mapping[float, Sequence[Scores]],
    out: str | os.PathLike,
    xlabel: str,
    paper_best: float | None = None,
    wanted: Iterable[float] = (),
) -> None:
    """Draws and saves :func:`sweep_figure`.

    Args:
        points: See :func:`sweep_figure`.
        out: Where the figure goes; the ending decides its format.
        xlabel: See :func:`sweep_figure`.
        paper_best: See :func:`sweep_figure`.
        wanted: See :func:`sweep_figure`.
    """
    save_figure(sweep_figure(points, xlabel, paper_best, wanted), out)


def summarise(values: Sequence[float | None]) -> tuple[int, float, float | None]:
    """Number of values, their mean, and their standard deviation (n - 1), ``None`` for fewer than two.

    ``None`` among the values (no target of that size) does not count; the mean of nothing is NaN.
    """
    known = [value for value in values if value is not None]
    mean = float(np.mean(known)) if known else math.nan
    return len(known), mean, float(np.std(known, ddof=1)) if len(known) > 1 else None


def sweep_figure(
    points: Mapping[float, Sequence[Scores]],
    xlabel: str,
    paper_best: float | None = None,
    wanted: Iterable[float] = (),
) -> Figure:
    """A panel for each score, over a setting, one page column wide.

    Where at least two runs differ in nothing but the seed, a filled point and a bar show their mean and standard
    deviation, small dots the runs; a single run is an open point without a bar. Below the axis stands the number n of
    runs. Each panel has its own axis, which does not begin at 0.

    Args:
        points: Value of the setting to the scores of its runs, as fractions: ``metrics.segm.all`` of their records.
        xlabel: Name of the setting.
        paper_best: Value that the paper found best, marked by a line.
        wanted: Values of the whole sweep. Those without runs stay empty and are marked so.

    Raises:
        ValueError: If there is no run at all, or a run lacks a score.
    """
    runs = {float(value): list(points[value]) for value in sorted(points) if points[value]}
    if not runs:
        raise ValueError(f'expected at least one run of the sweep over {xlabel}, got none')
    for value, scores in runs.items():
        if missing := [column for run in scores for column in PANELS if column not in run]:
            raise ValueError(f'run at {value:g}: expected the scores {", ".join(PANELS)}, got none for {missing[0]}')
    absent = sorted({float(value) for value in wanted} - set(runs))
    ticks = sorted([*runs, *absent])
    with rc_context(_STYLE):
        figure = Figure(figsize=(_COLUMN, 5.4), dpi=300, layout='constrained')
        recall, key, *others = figure.subplots(4, 2, sharex=True).flat  # recall, a fraction, apart from the percents
        for axes, column in zip([recall, *others], PANELS, strict=True):
            _panel(axes, column, runs, absent, paper_best)
        margin = 0.08 * (ticks[-1] - ticks[0]) or 0.5
        recall.set_xlim(ticks[0] - margin, ticks[-1] + margin)
        for axes in others[-2:]:
            axes.set_xticks(ticks, [f'{value:g}\nn={len(runs.get(value, ()))}' for value in ticks])
            axes.set_xlabel(xlabel)
        _key(key, runs, absent, paper_best)
        return figure


def _panel(
    axes: Axes, column: str, runs: Mapping[float, Sequence[Scores]], absent: Sequence[float], paper_best: float | None
) -> None:
    factor = 1 if column == 'Recall' else 100
    axes.set_title(column if factor == 1 else f'{column} (%)', loc='left')
    found = {}
    for value, scores in runs.items():
        known = [factor * run[column] for run in scores if run[column] is not None]
        if known:
            found[value] = (known, *summarise(known))
    if not found:
        axes.text(
            0.5, 0.5, 'no targets\nof this size', ha='center', va='center', color=_ABSENT, transform=axes.transAxes
        )
        axes.set_yticks([])
        return
    for value in absent:
        axes.axvline(value, color=_ABSENT, linewidth=0.6, linestyle=(0, (1, 3)), zorder=1, label='_not run')
    if paper_best is not None:
        axes.axvline(paper_best, color=_PAPER, linewidth=0.8, linestyle='--', zorder=1, label='_paper')
    # The line is broken where nothing was run.
    means = dict.fromkeys(absent, math.nan) | {value: mean for value, (_, _, mean, _) in found.items()}
    axes.plot(sorted(means), [means[value] for value in sorted(means)], color=_MEAN, linewidth=0.8, label='_means')
    for value, (known, count, mean, spread) in found.items():
        if spread is None:
            axes.plot(value, mean, 'o', color=_MEAN, markerfacecolor='white', markersize=4, label='_single')
        else:
            axes.plot([value] * count, known, '.', color=_SEED, markersize=4, zorder=2.6, label='_runs')
            axes.errorbar(
                value, mean, spread, fmt='o', color=_MEAN, markersize=4, capsize=2, elinewidth=0.9, label='_mean'
            )


def _key(axes: Axes, runs: Mapping[float, Sequence[Scores]], absent: Sequence[float], paper: float | None) -> None:
    """Explains what is in the figure, and only that, in the place of the last panel."""
    axes.set_axis_off()
    counts = {len(scores) for scores in runs.values()}
    handles = []
    if max(counts) > 1:
        line = axes.errorbar([], [], [], fmt='o', color=_MEAN, markersize=4, capsize=2, elinewidth=0.9)
        handles.append((line, 'mean ± standard deviation\nover n runs (seeds)'))
        handles.append((axes.plot([], [], '.', color=_SEED, markersize=4)[0], 'a run'))
    if min(counts) == 1:
        marker = axes.plot([], [], 'o', color=_MEAN, markerfacecolor='white', markersize=4)[0]
        handles.append((marker, 'a single run'))
    if paper is not None:
        handles.append((axes.plot([], [], '--', color=_PAPER, linewidth=0.8)[0], f"the paper's best, {paper:g}"))
    if absent:
        handles.append((axes.plot([], [], color=_ABSENT, linewidth=0.6, linestyle=(0, (1, 3)))[0], 'not run (n=0)'))
    legend = axes.legend(*zip(*handles, strict=True), loc='upper left', frameon=False, fontsize=6, borderaxespad=0)
    legend.set_in_layout(False)  # the panels keep their width


def read_sweep(entries: Iterable[tuple[str | os.PathLike, float]], metric: str = 'segm') -> dict[float, list[dict]]:
    """Scores of the runs of a sweep, from their records.

    Args:
        entries: Record file (see ``experiments.records``) and the value that its run was made with.
        metric: ``'segm'`` or ``'bbox'``.

    Returns:
        The scores of ``all`` classes by value, for :func:`plot_sweep`.

    Raises:
        FileNotFoundError: If there is no such record.
        ValueError: If a file is no record of a run with this metric, or the records do not belong together: they were
            trained or tested on different data, differ in epochs, or, where there are none, in iterations, or two have
            the same value and seed.
    """
    points: dict[float, list[dict]] = {}
    seeds: dict[tuple[float, object], Path] = {}
    first: tuple[Path, dict] | None = None
    for name, value in entries:
        path = Path(name)
        record = _read_record(path, metric)
        setting = {
            'training data': [part['sha256'] for part in record['data']['train']],
            'test data': [part['sha256'] for part in record['data']['test']],
            'epochs': record['training']['epochs'],
            # (of a training in iterations there are no epochs)
            'iterations': record['training'].get('iterations') if not record['training']['epochs'] else None,
        }
        first = first or (path, setting)
        for key, content in setting.items():
            if content != first[1][key]:
                raise ValueError(f'{path}: expected the {key} of {first[0]}, got {content} instead of {first[1][key]}')
        twin = seeds.setdefault((float(value), record['seed']), path)
        if twin is not path:
            raise ValueError(
                f'{path}: expected another seed than that of {twin}, got {record["seed"]} for both at {value:g}'
            )
        points.setdefault(float(value), []).append(record['metrics'][metric]['all'])
    return points


def _read_record(path: Path, metric: str) -> dict:
    if not path.is_file():
        raise FileNotFoundError(f'record not found: expected a file, got {str(path)!r}')
    try:
        record = json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{path}: expected JSON, got something else: {error}') from error
    if not isinstance(record, dict) or record.get('kind') != 'run':
        raise ValueError(f"{path}: expected the record of a run ('kind': 'run'), got another JSON file")
    missing = {'data', 'training', 'seed', 'metrics'} - record.keys()
    if missing or metric not in record['metrics']:
        lacks = sorted(missing) or [f'metrics.{metric}']
        raise ValueError(f'{path}: expected a record with {", ".join(lacks)}, got none')
    return record
