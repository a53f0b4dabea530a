"""Where models fail: curves, kinds of errors and tables of saved detections, in one folder."""

import json
import logging
import math
import os
from collections.abc import Mapping
from pathlib import Path

from mmengine.logging import print_log

from ...datasets.coco_files import read_coco, refuse
from ...evaluation.coco_eval import MAX_DETS, uncounted
from ...evaluation.detections import read_detections
from ...evaluation.errors.error_breakdown import ALL, KINDS, SIZES, SUMS, ErrorBreakdown, break_down
from ...evaluation.errors.precision_recall import LEVELS, PrecisionRecall, precision_recall
from ...evaluation.measures import MeasureSettings
from ...fileio import write_text
from ...markdown import markdown_table
from .plot import plot_errors, plot_precision_recall

_NAMES = {'50': 'AP50', '75': 'AP75', '50-95': 'AP'}


def write_error_report(
    ann_file: str | os.PathLike,
    detections: Mapping[str, str | os.PathLike],
    out: str | os.PathLike,
    iou_thr: float = 0.5,
    background_iou: float = 0.1,
    max_dets: int = MAX_DETS,
) -> list[Path]:
    """Compare the errors of models from their saved detections.

    Args:
        ann_file: COCO annotation file; all its images count, so it should hold those that the models were tested on.
        detections: ``<outfile_prefix>.segm.json`` of each model, by the name to show.
        out: Folder for ``precision_recall.png``, ``errors.png``, ``errors.md`` and ``errors.json``.
        iou_thr: Mask IoU from which a detection finds a target, in the breakdown.
        background_iou: Mask IoU below which a detection is background.
        max_dets: Detections of a class and image that count, from 11 on; a warning tells where there are more.

    Returns:
        The files written.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is unsound or does not fit the annotation file, or a threshold is not sensible.
    """
    MeasureSettings(max_dets=max_dets)  # (refuses a number that COCO's evaluation cannot take)
    coco = read_coco(ann_file, masks=True)
    targets = [a for a in coco['annotations'] if not a.get('iscrowd')]
    refuse(
        ann_file,
        'annotations have no mask or no area; annotation ids',
        [a['id'] for a in coco['annotations'] if not a.get('segmentation') or 'area' not in a],
    )
    if not targets:
        raise ValueError(f'{ann_file}: expected targets to find, got none')
    found = {name: read_detections(path, coco) for name, path in detections.items()}
    breakdowns = {n: break_down(coco, entries, iou_thr, background_iou, max_dets) for n, entries in found.items()}
    curves = {name: precision_recall(coco, entries, max_dets) for name, entries in found.items()}
    for name, entries in found.items():
        text = uncounted(targets, entries, max_dets)
        if text is not None:
            print_log(f'{name}: {text}; --max-dets counts more', logger='current', level=logging.WARNING)

    out = Path(out)
    files = [out / name for name in ('precision_recall.png', 'errors.png', 'errors.md', 'errors.json')]
    plot_precision_recall(curves, files[0])
    plot_errors(breakdowns, files[1], iou_thr)
    write_text(files[2], '\n'.join(_markdown(breakdowns, curves, iou_thr, background_iou)) + '\n')
    content = {
        'ann_file': str(ann_file),
        'images': len(coco['images']),
        'iou_thr': iou_thr,
        'background_iou': background_iou,
        'max_dets': max_dets,
        'models': {
            name: {
                'detections': {'file': str(detections[name]), 'number': len(found[name])},
                **breakdowns[name].as_json(),
                'precision': {
                    level: {row: None if math.isnan(values[0]) else values.tolist() for row, values in rows.items()}
                    for level, rows in curves[name].precision.items()
                },
            }
            for name in detections
        },
    }
    write_text(files[3], json.dumps(content, indent=1, allow_nan=False) + '\n')
    return files


def _points(value: float) -> str:
    return '-' if math.isnan(value) else f'{100 * value:.2f}'


def _markdown(
    breakdowns: Mapping[str, ErrorBreakdown],
    curves: Mapping[str, PrecisionRecall],
    iou_thr: float,
    background_iou: float,
) -> list[str]:
    """The lines of the tables; AP and its gains in points (percent)."""
    classes = [ALL, *next(iter(breakdowns.values())).classes]
    lines = ['# Errors', '', '![](precision_recall.png)', '']
    rows = [
        [name, _NAMES[level], *(_points(curve.ap(level, row)) for row in classes)]
        for name, curve in curves.items()
        for level in reversed(LEVELS)
    ]
    lines.append(markdown_table(['Model', '', *classes], rows, 'll' + 'r' * len(classes)))
    ap = f'AP at IoU {iou_thr:g}'
    lines += [
        '',
        '![](errors.png)',
        '',
        f'In each cell: points of {ap} that correcting all errors of the kind would gain, each kind for itself, and '
        'in brackets their number. Classes: the AP of the class; a detection is counted under the class that it '
        f'predicts. Sizes ({", ".join(f"{n} < {math.isqrt(int(b))}²" for n, b in SIZES.items() if b < math.inf)} '
        'pixels): the AP of all, by the size of the target, of background by that of the detection.',
        '',
    ]
    rows = []
    for name, breakdown in breakdowns.items():
        for row in breakdown.rows:
            cells = [f'{_points(breakdown.gains[kind][row])} ({breakdown.counts[kind][row]})' for kind in KINDS]
            cells += [_points(breakdown.gains[kind].get(row, math.nan)) for kind in SUMS]
            rows.append([name, row, breakdown.targets[row], *cells])
    header = ['Model', 'Of', 'Targets', *KINDS, *SUMS]
    lines.append(markdown_table(header, rows, 'll' + 'r' * (len(header) - 2)))
    thresholds = f'Threshold {iou_thr:g}, background {background_iou:g}, mask IoU.'
    lines += ['', thresholds, '', *(f'- {kind}: {text}' for kind, text in {**KINDS, **SUMS}.items())]
    pairs = [
        [name, target, predicted, number]
        for name, breakdown in breakdowns.items()
        for (target, predicted), number in breakdown.confusions.items()
    ]
    if pairs:
        lines += ['', markdown_table(['Model', 'Target', 'Taken for', 'Detections'], pairs, 'lllr')]
    return lines
