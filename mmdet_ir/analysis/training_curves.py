"""Curves of training runs from the scalars that mmengine logs: sessions joined, seeds of one title together."""

import difflib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..cli import split_entry
from ..experiments.records import training_sessions
from ..visualization.curves import Curve, plot_training_curves

_EXACT = ('lr', 'base_lr', 'momentum')  # known, not measured


@dataclass
class _Series:
    """Values of one key in one run, by step; ``unit`` is ``'iteration'`` or ``'epoch'``."""

    values: dict[int, float]
    unit: str


def read_scalars(work_dir: str | os.PathLike) -> dict[str, _Series]:
    """Scalars of the last run in a work folder, sessions that resumed it included.

    Where a resumed session repeats steps, its values count: those of the session before, from there on, belong to
    weights that were given up.

    Args:
        work_dir: Folder of a run, with ``<time>/vis_data/scalars.json``.

    Returns:
        The series by key, as in ``loss`` or ``coco/segm_mAP``.

    Raises:
        FileNotFoundError: If there is no training run, or a session has no scalars.
        ValueError: If a line of the scalars is not JSON.
    """
    joined: dict[str, _Series] = {}
    by_epoch = False
    for session in training_sessions(work_dir):
        path = session / 'vis_data' / 'scalars.json'
        if not path.is_file():
            raise FileNotFoundError(f"{path}: expected the scalars of mmengine's LocalVisBackend, found no file")
        new: dict[str, _Series] = {}
        lines = path.read_text(encoding='utf-8').splitlines()
        entries = [_entry(line, f'{path}: line {number}') for number, line in enumerate(lines, start=1)]
        by_epoch |= any('epoch' in entry for entry in entries)  # (a resumed session may begin with a validation)
        for entry in entries:
            trained = 'iter' in entry  # validation lines have nothing but a step
            unit = 'epoch' if by_epoch and not trained else 'iteration'
            for key in entry.keys() - {'step', 'iter', 'epoch'}:
                if isinstance(entry[key], int | float):
                    name = key if trained or '/' in key else f'val/{key}'  # time and data_time are logged by both
                    new.setdefault(name, _Series({}, unit)).values[entry['step']] = float(entry[key])
        for key, series in new.items():
            first = min(series.values)
            before = joined[key].values if key in joined else {}
            kept = {step: value for step, value in before.items() if step < first}
            joined[key] = _Series(kept | series.values, series.unit)
    return joined


def _entry(line: str, where: str) -> dict:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise ValueError(f'{where}: expected a JSON object, got {line[:40]!r}') from error
    if not isinstance(entry, dict) or 'step' not in entry:
        raise ValueError(f'{where}: expected an object with "step", got {line[:40]!r}')
    return entry


def draw_training_curves(
    work_dirs: Sequence[str], keys: Sequence[str], out: str | os.PathLike, smooth: int = 5
) -> dict[str, int]:
    """Draw keys of several runs, a panel for each key.

    Args:
        work_dirs: ``FOLDER`` or ``FOLDER=TITLE`` of each run; runs of one title are seeds of one experiment, drawn as
            their mean with a band from the lowest to the highest, as far as all of them go.
        keys: As in ``loss`` or ``coco/segm_mAP``.
        out: Picture; its ending decides the format.
        smooth: Training values are averaged over so many logged ones; validation values and learning rates never.

    Returns:
        Number of runs of each title.

    Raises:
        FileNotFoundError: If a folder holds no training run.
        ValueError: If a run lacks a key, the runs of a title share no step of it, or ``smooth`` is less than 1.
    """
    if smooth < 1:
        raise ValueError(f'smooth: expected at least 1, got {smooth}')
    runs: dict[str, list[tuple[str, dict[str, _Series]]]] = {}
    for entry in work_dirs:
        folder, title = split_entry('work_dirs', entry, 'WORK_DIR[=TITLE]')
        runs.setdefault(title or Path(folder).name, []).append((folder, read_scalars(folder)))
    curves = {key: [_curve(title, seeds, key, smooth) for title, seeds in runs.items()] for key in keys}
    plot_training_curves(curves, out)
    return {title: len(seeds) for title, seeds in runs.items()}


def _curve(title: str, seeds: Sequence[tuple[str, dict[str, _Series]]], key: str, smooth: int) -> Curve:
    for folder, scalars in seeds:
        if key not in scalars:
            close = difflib.get_close_matches(key, scalars, n=3, cutoff=0.4) or sorted(scalars)
            raise ValueError(f'{folder}: expected a key that the run logged, such as {close}, got {key!r}')
    series = [scalars[key] for _, scalars in seeds]
    steps = sorted(set.intersection(*(set(s.values) for s in series)))
    if not steps:
        raise ValueError(f'{title}: expected runs that logged {key!r} at the same steps, got none in common')
    values = np.array([[s.values[step] for step in steps] for s in series])
    width = 1 if '/' in key or key in _EXACT else smooth
    return Curve(title, np.array(steps), values, moving_average(values, width), series[0].unit, width)


def moving_average(values: np.ndarray, width: int) -> np.ndarray:
    """Mean over a window around each value; at the ends over what there is of it.

    Args:
        values: Shape (runs, steps).
        width: Of the window; of an even one the longer half lies behind.
    """
    steps = values.shape[1]
    starts = np.maximum(np.arange(steps) - width // 2, 0)
    ends = np.minimum(np.arange(steps) + (width - 1) // 2 + 1, steps)
    return np.stack([values[:, a:b].mean(axis=1) for a, b in zip(starts, ends, strict=True)], axis=1)
