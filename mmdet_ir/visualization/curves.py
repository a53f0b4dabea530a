"""Plots of training curves: a panel for each quantity, a line for each experiment, a band over its seeds."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .colors import line_color
from .figure_file import PLOT_STYLE, save_figure

_FEW = 30  # points that are marked one by one


@dataclass
class Curve:
    """One quantity of one experiment.

    Attributes:
        title: Of the experiment.
        steps: Shape (S,).
        values: As logged, by run and step: shape (R, S).
        smoothed: The same after smoothing.
        unit: Of the steps: ``'iteration'`` or ``'epoch'``.
        width: Logged values that a smoothed one is the mean of; 1 if not smoothed.
    """

    title: str
    steps: np.ndarray
    values: np.ndarray
    smoothed: np.ndarray
    unit: str
    width: int


def plot_training_curves(curves: Mapping[str, Sequence[Curve]], path: str | os.PathLike) -> None:
    """Draw a panel for each key.

    Args:
        curves: By key, those of the experiments, always in the same order. Several runs of one are drawn as their
            mean, with a band from the lowest to the highest; a single run's values as logged stay faintly visible.
        path: Where the picture goes; the ending decides its format.
    """
    columns = min(3, len(curves))
    rows = -(-len(curves) // columns)
    with rc_context(PLOT_STYLE):
        figure = Figure(figsize=(4.2 * columns, 2.9 * rows + 0.5), dpi=110, layout='constrained')
        FigureCanvasAgg(figure)
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for unused in axes[len(curves) :]:
            unused.set_axis_off()
        for panel, (key, of_key) in zip(axes, curves.items(), strict=False):
            for i, curve in enumerate(of_key):
                _draw(panel, curve, line_color(i))
            smoothed = f'\nmean of {of_key[0].width} logged values' if of_key[0].width > 1 else ''
            panel.set_title(key + smoothed, fontsize=9)
            panel.set_xlabel(' / '.join(dict.fromkeys(curve.unit for curve in of_key)))
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc='outside lower center', ncols=4, frameon=False)
        save_figure(figure, path)


def _draw(panel: Axes, curve: Curve, color: str) -> None:
    runs = len(curve.values)
    label = curve.title if runs == 1 else f'{curve.title} ({runs} runs, lowest to highest)'
    marker = 'o' if len(curve.steps) <= _FEW and curve.width == 1 else None
    panel.plot(
        curve.steps, curve.smoothed.mean(axis=0), color=color, linewidth=1.5, marker=marker, markersize=3, label=label
    )
    if runs > 1:
        low, high = curve.smoothed.min(axis=0), curve.smoothed.max(axis=0)
        panel.fill_between(curve.steps, low, high, color=color, alpha=0.2, linewidth=0)
    elif curve.width > 1:
        panel.plot(curve.steps, curve.values[0], color=color, linewidth=0.6, alpha=0.3)
