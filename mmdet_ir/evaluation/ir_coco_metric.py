"""COCO evaluation of instance segmentation, reported in the columns of the paper's tables."""

import contextlib
import io
import json
import os
import re
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.logging import MessageHub, MMLogger
from terminaltables import AsciiTable

from ..binary_masks import binary_masks
from ..datasets.coco_files import check_coco, lacks_targets, refuse, was_checked
from ..datasets.validation.checks.structure import id_order
from ..fileio import collector_paused, read_json, write_text
from .coco_eval import BACKENDS, MAX_DETS, accumulate, check_backend, uncounted
from .mask_data import MaskData, mask_data
from .measures import MeasureSettings, check_extra, extra_measures, standard_rows
from .measures_table import measure_tables, plain
from .rows import COLUMNS, Rows, area_rows, format_value, without_nan

_HEADINGS = {'segm': 'masks', 'bbox': 'boxes'}


@METRICS.register_module()
class IRCocoMetric(CocoMetric):
    """COCO metric with the paper's columns, for all classes together and for each class.

    Differs from MMDetection's ``CocoMetric``: values are not rounded; recall (COCO's AR over IoU .50:.95, 100
    detections per image) is part of the result; a model that detects nothing scores 0 instead of returning no
    value; only the images that were tested count, so a subset of a data set can be scored, and an image that a data
    set repeats counts once; COCO's matching is done by a library that is faster than pycocotools; and the values are
    saved as JSON.

    Returned keys, as fractions (NaN where the data set holds no such target): ``{segm,bbox}_{mAP, Recall, mAP_50,
    mAP_75, mAP_s, mAP_m, mAP_l}`` and ``{segm,bbox}_mAP/<class>``. The JSON file holds every column for every
    class, plus COCO's other recalls; a value that does not exist is ``null`` there and ``-`` in the printed table.
    ``extra`` measures come as ``segm_boundary_mAP``, ``segm_size_8-12_mAP``, ``segm_scenario_night_mAP`` and so on,
    and as ``extra`` in the file, in the layout of ``mmdet_ir.evaluation.measure``.

    Args:
        ann_file: COCO annotation file of the data set under test.
        metric: ``'bbox'``, ``'segm'`` or both.
        out_json: Where the values are saved. Defaults to ``metrics_test.json`` or ``metrics_val_<iteration>.json``
            beside the log file of the current run; without a log file nothing is saved. Of several metrics with one
            place, see :func:`separate_files`.
        format_only: Only write the detections, to ``outfile_prefix``; do not score them. ``ann_file`` may then be
            one without ``annotations``.
        outfile_prefix: Detections are kept as ``<outfile_prefix>.{bbox,segm}.json``. Defaults to not keeping them.
        backend_args: Arguments of mmengine's file backend for ``ann_file``.
        collect_device: ``'cpu'`` or ``'gpu'``, where results of several processes are collected.
        prefix: First part of the returned keys. Defaults to ``'coco'``.
        backend: ``'faster-coco-eval'`` or ``'pycocotools'``. The numbers are the same.
        extra: Further measures of the masks: any of ``'boundary'``, ``'size'``, ``'contrast'``, and fields of the
            images in ``ann_file`` whose values are scored apart, such as ``'scenario'`` and ``'source'``.
        image_root: Folder that the file names in ``ann_file`` are relative to; for ``'contrast'``.
        extra_settings: Fields of ``MeasureSettings`` other than the backend.
        max_dets: How many detections of a class count in an image, those with the highest scores. Where an image has
            more, the log says so. The columns keep their names; the file has the number if it is not the default.

    Raises:
        ValueError: If ``metric``, ``backend`` or ``extra`` is unknown, ``ann_file`` is unsound, or, on evaluation, if
            the categories of ``ann_file`` are not those of the data set, two tested images have one id, annotations
            lack what is to be scored, or masks are to be scored but the model predicts none.

    Example:
        >>> from mmdet_ir.evaluation import IRCocoMetric
        >>> metric = IRCocoMetric('val.json', metric='segm', extra=['size'])
        >>> test_evaluator = {'type': 'IRCocoMetric', 'ann_file': 'val.json', 'metric': 'segm'}  # the same in a config
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
        backend: str = BACKENDS[0],
        extra: Sequence[str] = (),
        image_root: str | None = None,
        extra_settings: dict | None = None,
        max_dets: int = MAX_DETS,
    ) -> None:
        metrics = [metric] if isinstance(metric, str) else list(metric)
        if not metrics or not set(metrics) <= set(_HEADINGS):
            raise ValueError(
                f"metric: expected 'bbox', 'segm' or both, got {metric!r}; in a config it is val_evaluator.metric or "
                'test_evaluator.metric'
            )
        if format_only and outfile_prefix is None:
            raise ValueError('format_only: expected outfile_prefix to say where the detections go, got None')
        check_backend(backend)
        if extra and 'segm' not in metrics:
            raise ValueError(f"extra: expected metric 'segm', as extra measures are of masks, got {metric!r}")
        if os.path.isfile(ann_file) and not was_checked(ann_file):
            self._check_file(ann_file, masks='segm' in metrics, scored=not format_only)
        with contextlib.redirect_stdout(io.StringIO()), collector_paused():  # pycocotools prints its progress
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
        self.suffix: str | None = None  # see :func:`separate_files`
        self.extra = extra
        self.image_root = image_root
        self.settings = MeasureSettings(**{'backend': backend, 'max_dets': max_dets, **(extra_settings or {})})
        check_extra(self.extra, self._coco_api.dataset['images'], image_root, self.settings, str(ann_file))

    @staticmethod
    def _check_file(path: str, masks: bool, scored: bool) -> None:
        content = read_json(path)
        if lacks_targets(content):
            if scored:
                raise ValueError(
                    f'{path}: expected "annotations" to score detections with, got a file without them; to write the '
                    'detections only, set format_only=True and outfile_prefix of the metric, such as '
                    'test_evaluator.format_only=True test_evaluator.outfile_prefix=found'
                )
            content['annotations'], masks = [], False
        check_coco(content, path, masks)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Collects the detections of a batch, masks as run-length code.

        Raises:
            ValueError: If masks are not binary.
        """
        # (with the path of the image, which tells repeats from other images of the same id)
        for sample in data_samples:
            found = sample['pred_instances']
            if isinstance(found.get('masks'), torch.Tensor):
                found['masks'] = binary_masks(found['masks'], f'image {sample["img_id"]}')
        begin = len(self.results)
        super().process(data_batch, data_samples)
        for (_, prediction), sample in zip(self.results[begin:], data_samples, strict=True):
            prediction['img_path'] = sample.get('img_path')

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Scores the collected detections; called on the main process only.

        Args:
            results: One ``(ground truth, detections)`` pair per image, as ``process`` stores them.

        Returns:
            The flat dictionary described in the class documentation.
        """
        if not results:
            raise ValueError(f'{self.ann_file}: expected at least one tested image, got none')
        predictions = self._each_image_once([prediction for _, prediction in results])
        self.cat_ids = self._category_ids()
        self.img_ids = sorted({prediction['img_id'] for prediction in predictions}, key=id_order)
        if 'segm' in self.metrics and any('masks' not in prediction for prediction in predictions):
            raise ValueError("metric 'segm': expected a model that predicts masks, got boxes only; set metric='bbox'")

        if self.outfile_prefix is not None:
            self.results2json(predictions, self.outfile_prefix)
            if self.format_only:
                return {}
        with collector_paused():
            tables, masks = self._score(predictions)
        logger = MMLogger.get_current_instance()
        logger.info('\n' + render(tables))
        self._tell_uncounted(predictions)
        extra = {}
        if masks is not None:
            self._save(tables, extra)  # an image that cannot be read must not cost the scores
            with collector_paused():
                extra = extra_measures(masks, self.extra, self.image_root, self.settings)
        for title, lines in measure_tables(extra):
            logger.info(f'{title}\n{plain(lines)}')
        self._save(tables, extra)
        flat = {}
        for metric, rows in tables.items():
            flat |= {f'{metric}_{key}': rows['all'][column] for column, key in COLUMNS.items()}
            flat |= {f'{metric}_mAP/{name}': row['mAP'] for name, row in rows.items() if name != 'all'}
        for name, content in extra.items():
            groups = {'': content} if name == 'boundary' else {f'_{label}': rows for label, rows in content.items()}
            flat |= {f'segm_{name}{label}_mAP': rows['all']['mAP'] for label, rows in groups.items()}
        return flat

    def _each_image_once(self, predictions: list[dict]) -> list[dict]:
        """Leaves out repeats of an image, which wrappers of data sets make: their detections would be wrong ones.

        Raises:
            ValueError: If two images have one id.
        """
        first: dict[object, dict] = {}
        for prediction in predictions:
            known = first.setdefault(prediction['img_id'], prediction)
            if known is not prediction and not _same_image(known, prediction):
                raise ValueError(
                    f'{self.ann_file}: expected one image for each id, got two with the id {prediction["img_id"]!r}: '
                    f'{known.get("img_path")} and {prediction.get("img_path")}; to score several data sets together, '
                    'give their images ids of their own (python tools/data/merge.py)'
                )
        if len(first) < len(predictions):
            MMLogger.get_current_instance().warning(
                f'{self.ann_file}: {len(predictions)} tested images are {len(first)} different ones: each counts once'
            )
        return list(first.values())

    def _score(self, predictions: list[dict]) -> tuple[dict[str, Rows], MaskData | None]:
        """Rows of the table of each metric, and the masks if more is to be measured of them."""
        classes = dict(zip(self.dataset_meta['classes'], self.cat_ids, strict=True))
        tables, kept = {}, None
        for metric in self.metrics:  # one after the other, and by no name: entries go as soon as they are used
            if metric == 'bbox':
                tables[metric] = self._score_boxes(coco_results(predictions, self.cat_ids, metric), classes)
                continue
            masks = mask_data(
                self._coco_api.dataset,
                coco_results(predictions, self.cat_ids, metric),
                classes,
                self.img_ids,
                (str(self.ann_file), 'detections'),
            )
            tables[metric] = standard_rows(masks, 'segm', self.settings)
            kept = masks if self.extra else None
        return tables, kept

    def _tell_uncounted(self, predictions: list[dict]) -> None:
        targets = self._coco_api.load_anns(self._coco_api.get_ann_ids(img_ids=self.img_ids, cat_ids=self.cat_ids))
        found = [
            {'image_id': one['img_id'], 'category_id': label}
            for one in predictions
            for label in one['labels'].tolist()
        ]
        text = uncounted(targets, found, self.settings.max_dets)
        if text is not None:
            MMLogger.get_current_instance().warning(
                f'{self.ann_file}: {text}; to count more, set max_dets of IRCocoMetric, such as '
                "test_evaluator.max_dets=300, and as high a max_per_img in the model's test_cfg"
            )

    def _category_ids(self) -> list[int]:
        """Category id of each label; labels follow the file's order of categories, as in ``CocoDataset``."""
        classes = list(self.dataset_meta['classes'])
        ids = self._coco_api.get_cat_ids(cat_names=classes)
        names = [category['name'] for category in self._coco_api.load_cats(ids)]
        if names != classes:
            raise ValueError(f"{self.ann_file}: 'categories': expected {classes} in this order, got {names}")
        return ids

    def _score_boxes(self, detections: list[dict], classes: dict[str, int]) -> Rows:
        """Rows of the table (``all``, then each class) for boxes."""
        targets = self._coco_api.load_anns(self._coco_api.get_ann_ids(img_ids=self.img_ids, cat_ids=self.cat_ids))
        refuse(
            self.ann_file,
            'annotations lack "area"; annotation ids',
            [target['id'] for target in targets if 'area' not in target],
        )
        images = self._coco_api.load_imgs(self.img_ids)
        precision, recall = accumulate(
            images,
            targets,
            detections,
            sorted(self.cat_ids, key=id_order),
            'bbox',
            backend=self.settings.backend,
            max_dets=self.settings.max_dets,
        )
        return area_rows(precision, recall, targets, classes)

    def _save(self, tables: dict[str, Rows], extra: dict[str, dict]) -> None:
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
        if self.suffix is not None:
            path = f'_{self.suffix}'.join(os.path.splitext(path))
        content = {
            'ann_file': str(self.ann_file),
            'images': len(self.img_ids),
            'iteration': iteration,
            'metrics': without_nan(tables),
        }
        if self.suffix is not None:
            content['evaluator'] = self.suffix
        if self.settings.max_dets != MAX_DETS:
            content['max_dets'] = self.settings.max_dets
        if extra:
            content['extra'] = without_nan(extra)
        write_text(path, json.dumps(content, indent=2, allow_nan=False) + '\n')
        MMLogger.get_current_instance().info(f'unrounded metrics: {path}')


def separate_files(metrics: Sequence[BaseMetric]) -> None:
    """Gives each :class:`IRCocoMetric` of an evaluator files of its own, where several would write the same ones.

    The first one keeps the names; to those of the others their prefix is added, or, if one before them has it, too,
    their number. ``evaluator`` in the JSON file then tells which it is.

    Args:
        metrics: Of the evaluator, in their order.
    """
    saving = [metric for metric in metrics if isinstance(metric, IRCocoMetric)]
    for number, metric in enumerate(saving):
        before = saving[:number]
        if any(metric.out_json == other.out_json for other in before):
            taken = {other.prefix for other in before}
            metric.suffix = str(number + 1) if metric.prefix in taken else re.sub(r'\W+', '_', metric.prefix)
        if metric.outfile_prefix and any(metric.outfile_prefix == other.outfile_prefix for other in before):
            metric.outfile_prefix = f'{metric.outfile_prefix}_{metric.suffix or number + 1}'


def _same_image(one: dict, other: dict) -> bool:
    """Whether two predictions for one id are of one file; where no file is known, whether they found the same."""
    paths = one.get('img_path'), other.get('img_path')
    if None not in paths:
        return paths[0] == paths[1] or os.path.realpath(paths[0]) == os.path.realpath(paths[1])
    return all(np.array_equal(one[key], other[key]) for key in ('bboxes', 'scores', 'labels'))


def coco_results(predictions: Iterable[dict], category_ids: Sequence[int], metric: str) -> list[dict]:
    """COCO results, the same as ``CocoMetric.results2json`` writes to a file.

    Through a file they would take longer than the matching of a large data set.

    Args:
        predictions: As ``CocoMetric.process`` stores them: ``img_id``, ``bboxes`` (N, 4) as corners in pixels,
            ``scores`` and ``labels`` (N,), and for masks N compressed RLE and perhaps ``mask_scores``.
        category_ids: Category id of each label.
        metric: ``'bbox'``, or ``'segm'`` for entries with masks.
    """
    entries = []
    for prediction in predictions:
        boxes = prediction['bboxes'].astype(np.float64)
        boxes[:, 2:] -= boxes[:, :2]
        scores = prediction['scores'] if metric == 'bbox' else prediction.get('mask_scores', prediction['scores'])
        for box, score, label in zip(boxes.tolist(), scores.tolist(), prediction['labels'].tolist(), strict=True):
            entries.append(
                {'image_id': prediction['img_id'], 'bbox': box, 'score': score, 'category_id': category_ids[label]}
            )
        if metric == 'segm':
            masks = prediction['masks']
            for entry, mask in zip(entries[len(entries) - len(masks) :], masks, strict=True):
                counts = mask['counts']
                mask['counts'] = counts.decode() if isinstance(counts, bytes) else counts
                entry['segmentation'] = mask
    return entries


def render(tables: dict[str, Rows]) -> str:
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
