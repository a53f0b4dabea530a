"""Precision-recall curves and bars of the kinds of errors, of several models in one picture."""

import os
from collections.abc import Mapping

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ...evaluation.errors.error_breakdown import ALL, KINDS, ErrorBreakdown
from ...evaluation.errors.precision_recall import RECALLS, PrecisionRecall
from ...visualization.colors import line_color
from ...visualization.figure_file import PLOT_STYLE, save_figure

_COLUMNS = 4
_DASHES = {'50': '-', '75': '--', '50-95': ':'}
_NAMES = {'50': 'IoU .50', '75': 'IoU .75', '50-95': 'mean of IoU .50:.95'}
_NUMBERED = 3  # with more models than this, numbers on bars run into each other


def _panels(number: int, width: float, height: float, **shared: bool) -> tuple[Figure, np.ndarray]:
    columns = 3 if number in (5, 6) else min(_COLUMNS, number)
    rows = -(-number // columns)
    figure = Figure(figsize=(width * columns, height * rows + 0.6), dpi=110, layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False, **shared).ravel()
    for unused in axes[number:]:
        unused.set_axis_off()
    return figure, axes


def plot_precision_recall(curves: Mapping[str, PrecisionRecall], path: str | os.PathLike) -> None:
    """Draw a panel for the mean of the classes and for each class: colours are models, dashes IoU thresholds.

    Args:
        curves: By the model's name; all of the same classes.
        path: Where the picture goes; the ending decides its format.
    """
    rows = [ALL, *next(iter(curves.values())).classes]
    rows = [row for row in rows if any(np.isfinite(curve.precision['50'][row]).any() for curve in curves.values())]
    with rc_context(PLOT_STYLE):
        figure, axes = _panels(len(rows), 3.1, 2.7)
        for panel, row in zip(axes, rows, strict=False):
            for i, curve in enumerate(curves.values()):
                for level, dash in _DASHES.items():
                    values = curve.precision[level][row]
                    panel.plot(RECALLS, values, dash, color=line_color(i), linewidth=1.4)
            panel.set(
                title='mean of the classes' if row == ALL else row,
                xlabel='recall',
                ylabel='precision',
                xlim=(0, 1),
                ylim=(0, 1.03),
            )
        handles = [Line2D([], [], color=line_color(i), label=name) for i, name in enumerate(curves)]
        handles += [Line2D([], [], color='#444444', linestyle=d, label=_NAMES[k]) for k, d in _DASHES.items()]
        figure.legend(handles=handles, loc='outside lower center', ncols=6, frameon=False)
        save_figure(figure, path)


def plot_errors(breakdowns: Mapping[str, ErrorBreakdown], path: str | os.PathLike, iou_thr: float = 0.5) -> None:
    """Draw what the AP would gain without each kind of error: a panel for all, for each class, for each size.

    Args:
        breakdowns: By the model's name; all of the same data.
        path: Where the picture goes; the ending decides its format.
        iou_thr: IoU threshold of the AP, for the axis.
    """
    rows = list(dict.fromkeys(row for breakdown in breakdowns.values() for row in breakdown.rows))
    with rc_context(PLOT_STYLE):
        figure, axes = _panels(len(rows), 3.3, 2.3, sharey=True)
        width = 0.8 / len(breakdowns)
        most = max(np.nan_to_num(b.gains[kind][row]) for b in breakdowns.values() for kind in KINDS for row in rows)
        axes[0].set_ylim(0, max(1, 112 * most))  # of all panels
        for panel, row in zip(axes, rows, strict=False):
            for i, breakdown in enumerate(breakdowns.values()):
                x = np.arange(len(KINDS)) + (i - (len(breakdowns) - 1) / 2) * width
                gains = [100 * np.nan_to_num(breakdown.gains[kind][row]) for kind in KINDS]
                bars = panel.bar(x, gains, width * 0.9, color=line_color(i))
                if len(breakdowns) <= _NUMBERED:
                    counts = [str(breakdown.counts[kind][row] or '') for kind in KINDS]
                    panel.bar_label(bars, counts, fontsize=6, padding=1, color='#555555')
            panel.set_xticks(range(len(KINDS)), KINDS)
            panel.set_ylabel(f'ΔAP{100 * iou_thr:.0f}, points')
            panel.yaxis.set_tick_params(labelleft=True)
            number = next(iter(breakdowns.values())).targets[row]
            panel.set_title(f'{row} ({number} targets)', fontsize=9)
            panel.grid(axis='x', visible=False)
        handles = [Patch(color=line_color(i), label=name) for i, name in enumerate(breakdowns)]
        figure.legend(handles=handles, loc='outside lower center', ncols=6, frameon=False)
        if len(breakdowns) <= _NUMBERED:
            axes[0].annotate(
                'number on a bar: errors',
                (1, 1),
                xycoords='axes fraction',
                ha='right',
                va='top',
                fontsize=6,
                color='#555555',
            )
        save_figure(figure, path)
