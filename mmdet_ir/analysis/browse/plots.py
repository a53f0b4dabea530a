"""Plots of the statistics of data sets, as SVG."""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from ...visualization.figure_file import PLOT_STYLE
from .statistics import Statistics

Colors = Sequence[tuple[float, float, float]]
_STYLE = {**PLOT_STYLE, 'svg.hashsalt': 'mmdet_ir'}  # the same data, the same file
_TICKS = (-100, -30, -10, -3, -1, 0, 1, 3, 10, 30, 100)  # of signal-to-clutter ratios
_SPLITS = ('#3a6ea5', '#d98032', '#6aa56e')


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format='svg', metadata={'Date': None})
    return buffer.getvalue()


def plot_classes(sets: Sequence[Statistics], classes: Sequence[str]) -> str:
    """Targets of each class, a bar for each split."""
    with rc_context(_STYLE):
        figure = Figure(figsize=(5.4, 3), layout='constrained')
        axes = figure.subplots()
        width = 0.8 / len(sets)
        for k, found in enumerate(sets):
            counts = np.bincount(found.labels, minlength=len(classes))[: len(classes)]
            x = np.arange(len(classes)) + (k - (len(sets) - 1) / 2) * width
            bars = axes.bar(x, counts, width * 0.92, color=_SPLITS[k % len(_SPLITS)], label=found.name)
            axes.bar_label(bars, fontsize=7, padding=1)
        axes.set_xticks(range(len(classes)), classes)
        axes.set_ylabel('targets')
        axes.margins(y=0.12)
        axes.grid(axis='x', visible=False)
        axes.legend(frameon=False)
        return _svg(figure)


def plot_per_image(sets: Sequence[Statistics]) -> str:
    """Targets per image, as the share of the images of each split."""
    with rc_context(_STYLE):
        figure = Figure(figsize=(5.4, 3), layout='constrained')
        axes = figure.subplots()
        most = max(int(found.per_image.max(initial=0)) for found in sets)
        step = -(-(most + 1) // 60)
        edges = np.arange(0, most + 1 + step, step) - 0.5
        for k, found in enumerate(sets):
            share = np.histogram(found.per_image, edges)[0] / max(len(found.per_image), 1)
            axes.stairs(100 * share, edges, color=_SPLITS[k % len(_SPLITS)], label=found.name, linewidth=1.6)
        axes.set(xlabel='targets in an image', ylabel='% of the images', ylim=(0, None))
        axes.legend(frameon=False)
        return _svg(figure)


def _by_class(
    sets: Sequence[Statistics],
    classes: Sequence[str],
    colors: Colors,
    values: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    edges: np.ndarray,
    xlabel: str,
    scale: str,
) -> str:
    """A histogram for each split and class, in one column for each split."""
    with rc_context(_STYLE):
        height = 0.95 * len(classes) + 0.7
        figure = Figure(figsize=(2.95 * len(sets), height), layout='constrained')
        grid = figure.subplots(len(classes), len(sets), sharex=True, squeeze=False)
        for column, (found, value, label) in enumerate(zip(sets, values, labels, strict=True)):
            for row, name in enumerate(classes):
                axes = grid[row, column]
                mine = value[label == row]
                share = np.histogram(mine.clip(edges[0], edges[-1]), edges)[0] / max(len(mine), 1)
                axes.stairs(100 * share, edges, fill=True, color=colors[row], alpha=0.85)
                axes.set_xscale(scale)
                if scale == 'asinh':
                    axes.set_xticks([tick for tick in _TICKS if abs(tick) <= edges[-1]], minor=False)
                    axes.minorticks_off()
                axes.xaxis.set_major_formatter('{x:g}')
                text = f'{name}: median {np.median(mine):.3g} (n = {len(mine)})' if len(mine) else f'{name}: none'
                axes.set_title(text, fontsize=8, loc='left', pad=2)
            grid[-1, column].set_xlabel(f'{xlabel}\n{found.name}')
        figure.supylabel('% of the targets of a class', fontsize=9)
        return _svg(figure)


def plot_sizes(sets: Sequence[Statistics], classes: Sequence[str], colors: Colors) -> str:
    """Sizes of the targets by class."""
    every = np.concatenate([found.sides for found in sets])
    low, high = every.min(initial=1e5), every.max(initial=2)
    edges = np.geomspace(min(low, high / 2), high * 1.001, 33)
    values, labels = [found.sides for found in sets], [found.labels for found in sets]
    return _by_class(sets, classes, colors, values, labels, edges, 'side: square root of the box area (pixels)', 'log')


def plot_contrasts(sets: Sequence[Statistics], classes: Sequence[str], colors: Colors) -> str:
    """Signal-to-clutter ratios by class; the outer bars hold what lies beyond."""
    values, labels = [found.contrasts for found in sets], [found.contrast_labels for found in sets]
    both = np.concatenate([np.zeros(1), *values])
    reach = max(2.0, float(np.quantile(np.abs(both), 0.98)))
    edges = np.sinh(np.linspace(-np.arcsinh(reach), np.arcsinh(reach), 42))
    return _by_class(sets, classes, colors, values, labels, edges, 'SCR (below 0: darker)', 'asinh')


def plot_places(sets: Sequence[Statistics], classes: Sequence[str], colors: Colors) -> str:
    """Where the centres of the targets lie."""
    with rc_context(_STYLE):
        figure = Figure(figsize=(2.95 * len(sets), 2.7), layout='constrained')
        for axes, found in zip(np.atleast_1d(figure.subplots(1, len(sets))), sets, strict=True):
            width, height = found.sizes.most_common(1)[0][0] if found.sizes else (4, 3)
            order = np.random.default_rng(0).permutation(len(found.labels))[:4000]  # no class always on top
            tint = np.asarray(colors)[found.labels[order]] if len(order) else None
            axes.scatter(*found.centres[order].T, s=3, c=tint, alpha=0.55, linewidths=0, rasterized=True)
            axes.set(xlim=(0, 1), ylim=(1, 0), title=found.name, xlabel='x / width', ylabel='y / height')
            axes.set_box_aspect(height / width)
        return _svg(figure)
