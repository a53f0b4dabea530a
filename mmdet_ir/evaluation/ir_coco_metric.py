"""COCO evaluation of instance segmentation, reported in the columns of the paper's tables."""

import contextlib
import io
import json
import math
import os
import tempfile
from collections import Counter
from collections.abc import Sequence

import numpy as np
from mmdet.datasets.api_wrappers import COCO, COCOeval
from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS
from mmengine.fileio import load
from mmengine.logging import MessageHub, MMLogger
from terminaltables import AsciiTable

from ..fileio import write_text

# Columns of the paper's tables -> names that MMDetection's users know from its CocoMetric.
COLUMNS = {
    'mAP': 'mAP',
    'Recall': 'Recall',
    'mAP50': 'mAP_50',
    'mAP75': 'mAP_75',
    'mAPs': 'mAP_s',
    'mAPm': 'mAP_m',
    'mAPl': 'mAP_l',
}
_ALL, _SMALL, _MEDIUM, _LARGE = range(4)  # COCOeval's area ranges, bounds 32^2 and 96^2 pixels
_TOP1, _TOP10, _TOP100 = range(3)  # COCOeval's numbers of detections per image
_IOU50, _IOU75 = 0, 5  # indices into the IoU thresholds 0.50:0.05:0.95
_HEADINGS = {'segm': 'masks', 'bbox': 'boxes'}


@METRICS.register_module()
class IRCocoMetric(CocoMetric):
    """COCO metric with the paper's columns, for all classes together and for each class.

    Differs from MMDetection's ``CocoMetric``: values are not rounded; recall (COCO's AR over IoU .50:.95, 100
    detections per image) is part of the result; a model that detects nothing scores 0 instead of returning no
    value; only the images that were tested count, so a subset of a data set can be scored; and the values are saved
    as JSON.

    Returned keys, as fractions (NaN where the data set holds no such target): ``{segm,bbox}_{mAP, Recall, mAP_50,
    mAP_75, mAP_s, mAP_m, mAP_l}`` and ``{segm,bbox}_mAP/<class>``. The JSON file holds every column for every
    class, plus COCO's other recalls; a value that does not exist is ``null`` there and ``-`` in the printed table.

    Args:
        ann_file: COCO annotation file of the data set under test.
        metric: ``'bbox'``, ``'segm'`` or both.
        out_json: Where the values are saved. Defaults to ``metrics_test.json`` or ``metrics_val_<iteration>.json``
            beside the log file of the current run; without a log file nothing is saved.
        format_only: Only write the detections, to ``outfile_prefix``; do not score them.
        outfile_prefix: Detections are kept as ``<outfile_prefix>.{bbox,segm}.json``. Defaults to not keeping them.
        backend_args: Arguments of mmengine's file backend for ``ann_file``.
        collect_device: ``'cpu'`` or ``'gpu'``, where results of several processes are collected.
        prefix: First part of the returned keys. Defaults to ``'coco'``.

    Raises:
        ValueError: If ``metric`` is unknown, or, on evaluation, if the categories of ``ann_file`` are not those of
            the data set or if masks are to be scored but the model predicts none.
    """

    def __init__(
        self,
        ann_file: str,
        metric: str | Sequence[str] = ('bbox', 'segm'),
        out_json: str | None = None,
        format_only: bool = False,
        outfile_prefix: str | None = None,
        backend_args: dict | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        metrics = [metric] if isinstance(metric, str) else list(metric)
        if not metrics or not set(metrics) <= set(_HEADINGS):
            raise ValueError(f"metric: expected 'bbox', 'segm' or both, got {metric!r}")
        if format_only and outfile_prefix is None:
            raise ValueError('format_only: expected outfile_prefix to say where the detections go, got None')
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
            super().__init__(
                ann_file=ann_file,
                metric=metrics,
                format_only=format_only,
                outfile_prefix=outfile_prefix,
                backend_args=backend_args,
                collect_device=collect_device,
                prefix=prefix,
            )
        self.ann_file = ann_file
        self.out_json = out_json

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Scores the collected detections; called on the main process only.

        Args:
            results: One ``(ground truth, detections)`` pair per image, as ``process`` stores them.

        Returns:
            The flat dictionary described in the class documentation.
        """
        if not results:
            raise ValueError(f'{self.ann_file}: expected at least one tested image, got none')
        predictions = [prediction for _, prediction in results]
        self.cat_ids = self._category_ids()
        self.img_ids = sorted({prediction['img_id'] for prediction in predictions})
        if 'segm' in self.metrics and any('masks' not in prediction for prediction in predictions):
            raise ValueError("metric 'segm': expected a model that predicts masks, got boxes only; set metric='bbox'")

        with tempfile.TemporaryDirectory() as tmp_dir:
            prefix = self.outfile_prefix or os.path.join(tmp_dir, 'results')
            files = self.results2json(predictions, prefix)
            if self.format_only:
                return {}
            tables = {metric: self._score(load(files[metric]), metric) for metric in self.metrics}

        MMLogger.get_current_instance().info('\n' + render(tables))
        self._save(tables)
        flat = {}
        for metric, rows in tables.items():
            flat |= {f'{metric}_{key}': rows['all'][column] for column, key in COLUMNS.items()}
            flat |= {f'{metric}_mAP/{name}': row['mAP'] for name, row in rows.items() if name != 'all'}
        return flat

    def _category_ids(self) -> list[int]:
        """Category id of each label; labels follow the file's order of categories, as in ``CocoDataset``."""
        classes = list(self.dataset_meta['classes'])
        ids = self._coco_api.get_cat_ids(cat_names=classes)
        names = [category['name'] for category in self._coco_api.load_cats(ids)]
        if names != classes:
            raise ValueError(f"{self.ann_file}: 'categories': expected {classes} in this order, got {names}")
        return ids

    def _score(self, detections: list[dict], metric: str) -> dict[str, dict[str, float]]:
        """Rows of the table (``all``, then each class) for one kind of detection."""
        if metric == 'segm':  # with a box present, COCO takes the object's size from it instead of from the mask
            for detection in detections:
                del detection['bbox']
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = COCOeval(self._coco_api, self._load_detections(detections), metric)
            evaluation.params.imgIds = self.img_ids
            evaluation.params.catIds = self.cat_ids
            evaluation.evaluate()
            evaluation.accumulate()
        precision, recall = evaluation.eval['precision'], evaluation.eval['recall']

        annotations = self._coco_api.load_anns(self._coco_api.get_ann_ids(img_ids=self.img_ids, cat_ids=self.cat_ids))
        targets = Counter(ann['category_id'] for ann in annotations if not ann.get('iscrowd', 0))
        rows = {'all': {'targets': targets.total(), **_columns(precision, recall)}}
        for k, (name, cat_id) in enumerate(zip(self.dataset_meta['classes'], self.cat_ids, strict=True)):
            one_class = slice(k, k + 1)
            columns = _columns(precision[:, :, one_class], recall[:, one_class])
            rows[name] = {'targets': targets[cat_id], **columns}
        return rows

    def _load_detections(self, detections: list[dict]) -> COCO:
        if detections:
            return self._coco_api.loadRes(detections)
        nothing = COCO()  # loadRes fails on an empty list
        nothing.dataset = {key: self._coco_api.dataset[key] for key in ('images', 'categories')}
        nothing.dataset['annotations'] = []
        nothing.createIndex()
        return nothing

    def _save(self, tables: dict[str, dict[str, dict[str, float]]]) -> None:
        hub = MessageHub.get_current_instance()
        stage = hub.get_info('loop_stage')
        iteration = hub.get_info('iter') + 1 if stage == 'val' and 'iter' in hub.runtime_info else None
        path = self.out_json
        if path is None:
            log_file = MMLogger.get_current_instance().log_file
            if log_file is None:
                return
            name = 'metrics_test.json' if iteration is None else f'metrics_val_{iteration}.json'
            path = os.path.join(os.path.dirname(log_file), name)
        content = {
            'ann_file': str(self.ann_file),
            'images': len(self.img_ids),
            'iteration': iteration,
            'metrics': {
                metric: {
                    name: {key: None if math.isnan(value) else value for key, value in row.items()}
                    for name, row in rows.items()
                }
                for metric, rows in tables.items()
            },
        }
        write_text(path, json.dumps(content, indent=2, allow_nan=False) + '\n')
        MMLogger.get_current_instance().info(f'unrounded metrics: {path}')


def _columns(precision: np.ndarray, recall: np.ndarray) -> dict[str, float]:
    """The paper's columns and COCO's other recalls, from ``COCOeval.eval``.

    Args:
        precision: Shape (IoU thresholds, recall levels, classes, areas, numbers of detections); -1 where a class
            has no target.
        recall: Shape (IoU thresholds, classes, areas, numbers of detections); -1 where a class has no target.
    """
    return {
        'mAP': _mean(precision[..., _ALL, _TOP100]),
        'Recall': _mean(recall[..., _ALL, _TOP100]),
        'mAP50': _mean(precision[_IOU50, ..., _ALL, _TOP100]),
        'mAP75': _mean(precision[_IOU75, ..., _ALL, _TOP100]),
        'mAPs': _mean(precision[..., _SMALL, _TOP100]),
        'mAPm': _mean(precision[..., _MEDIUM, _TOP100]),
        'mAPl': _mean(precision[..., _LARGE, _TOP100]),
        'AR@1': _mean(recall[..., _ALL, _TOP1]),
        'AR@10': _mean(recall[..., _ALL, _TOP10]),
        'ARs': _mean(recall[..., _SMALL, _TOP100]),
        'ARm': _mean(recall[..., _MEDIUM, _TOP100]),
        'ARl': _mean(recall[..., _LARGE, _TOP100]),
    }


def _mean(values: np.ndarray) -> float:
    values = values[values > -1]
    return float(values.mean()) if values.size else math.nan


def render(tables: dict[str, dict[str, dict[str, float]]]) -> str:
    """Text table as in the paper: mAPs in percent, recall as a fraction, ``-`` where there is no target.

    Args:
        tables: Kind of detection (``'segm'``, ``'bbox'``) -> row (``'all'`` or class) -> column -> value.
    """
    lines = [['', 'targets', *COLUMNS]]
    for metric in sorted(tables, reverse=True):  # masks first
        for name, row in tables[metric].items():
            heading = f'{_HEADINGS[metric]}, {name}'
            lines.append([heading, str(row['targets']), *(format_value(column, row[column]) for column in COLUMNS)])
    table = AsciiTable(lines)
    table.justify_columns = dict.fromkeys(range(1, len(COLUMNS) + 2), 'right')
    return table.table


def format_value(column: str, value: float | None) -> str:
    """One cell as the paper prints it: recall as a fraction, all else in percent, three decimals."""
    if value is None or math.isnan(value):
        return '-'
    return f'{value:.3f}' if column == 'Recall' else f'{100 * value:.3f}'
