"""What several models find in the same images, from weights or saved detections, and what they get wrong."""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.structures import InstanceData
from pycocotools import mask as mask_utils

from ...binary_masks import encode_masks
from ...cli import Skipped, reading
from ...datasets.coco_files import check_file_name, read_coco, refuse
from ...datasets.images.files import grey_levels
from ...datasets.images.infrared_io import read_infrared
from ...datasets.validation.checks.structure import id_order
from ...evaluation.detections import read_detections
from ...evaluation.errors.error_breakdown import Mistake, find_mistakes
from ...evaluation.errors.matching import ImageMatch, match_image
from ...evaluation.mask_agreement import to_rle
from ...visualization.grid import GridRow
from ...visualization.picture import as_picture
from ..images import open_models, predict, select_by_labels


@dataclass
class Comparison:
    """Images with targets, and the detections of models in them. Images go by their position.

    Attributes:
        classes: Names of the classes, by label.
        titles: Of the models.
        images: Of each image ``id``, ``name``, ``height`` and ``width``.
        annotations: For each image its COCO annotations, ``category_id`` being the label, with RLE masks.
        picture: Loads an image: uint8 ``[H, W]`` or ``[H, W, 3]`` in RGB.
        detect: Detections of a model (its number) in images (their positions), above the score threshold: for each
            image COCO results with RLE masks, ``category_id`` being the label.
    """

    classes: list[str]
    titles: list[str]
    images: list[dict]
    annotations: list[list[dict]]
    picture: Callable[[int], np.ndarray]
    detect: Callable[[int, Sequence[int]], list[list[dict]]]


@dataclass
class JudgedImage:
    """Detections of one model in one image, and its mistakes there."""

    match: ImageMatch
    mistakes: list[Mistake]


def compare_files(
    ann_file: str | os.PathLike,
    image_folder: str | os.PathLike,
    detections: Mapping[str, str | os.PathLike],
    score_thr: float = 0.3,
    image_key: str = 'file_name',
) -> Comparison:
    """Take the detections from files.

    Args:
        ann_file: COCO annotation file.
        image_folder: Where its images are.
        detections: ``<outfile_prefix>.segm.json`` of each model, by the title to show.
        score_thr: Detections that score less are left out.
        image_key: Field of the images that names the file to load.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is unsound or does not fit the annotation file.
    """
    coco = read_coco(ann_file, masks=True)
    refuse(
        ann_file,
        'annotations have no mask; annotation ids',
        [a['id'] for a in coco['annotations'] if not a.get('segmentation')],
    )
    refuse(
        ann_file,
        f'images lack the field "{image_key}"; image ids',
        [image['id'] for image in coco['images'] if image_key not in image],
    )
    for image in coco['images']:
        check_file_name(image[image_key], f'{ann_file}, image id {image["id"]}, "{image_key}"')
    infos = sorted(coco['images'], key=lambda image: id_order(image['id']))
    labels = {category['id']: label for label, category in enumerate(coco['categories'])}
    sizes = {info['id']: (info['height'], info['width']) for info in infos}
    targets = defaultdict(list)
    for a in coco['annotations']:
        mask = to_rle(a, sizes[a['image_id']])
        targets[a['image_id']].append({**a, 'category_id': labels[a['category_id']], 'segmentation': mask})
    found = []
    for path in detections.values():
        of_image = defaultdict(list)
        for entry in read_detections(path, coco):
            if entry['score'] >= score_thr:
                of_image[entry['image_id']].append({**entry, 'category_id': labels[entry['category_id']]})
        found.append(of_image)

    def picture(position: int) -> np.ndarray:
        info = infos[position]
        return grey_levels(read_infrared(Path(image_folder) / info[image_key], page=info.get('page')))

    return Comparison(
        classes=[category['name'] for category in coco['categories']],
        titles=list(detections),
        images=[{**info, 'name': Path(info[image_key]).name} for info in infos],
        annotations=[targets[info['id']] for info in infos],
        picture=picture,
        detect=lambda model, positions: [found[model][infos[i]['id']] for i in positions],
    )


def compare_models(
    models: Sequence[tuple[str | os.PathLike, str | os.PathLike]],
    titles: Sequence[str] | None = None,
    score_thr: float = 0.3,
    device: str | None = None,
    cfg_options: dict | None = None,
) -> Comparison:
    """Run models on their test set, on those images that are asked for.

    Args:
        models: Config and weights of each.
        titles: Default is ``prediction`` for one model, else the names of the configs.
        score_thr: Detections that score less are left out.
        device: Defaults to the GPU if there is one.
        cfg_options: Settings that replace the configs'.

    Raises:
        ValueError: If the test sets do not hold the same images or have other classes, the number of titles is not
            that of the models, or, when they are run, a model predicts no masks.
    """
    titles, configs, datasets = open_models(models, titles, cfg_options)
    device = device or ('cuda' if torch.cuda.is_available() else 'cpu')
    dataset = datasets[0]
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]

    def picture(position: int) -> np.ndarray:
        data = dataset[position]
        return as_picture(data['inputs'], data['data_samples'].metainfo)

    def detect(model: int, positions: Sequence[int]) -> list[list[dict]]:
        results = predict(configs[model], models[model][1], datasets[model], positions, device)
        return [_as_coco(prediction[prediction.scores >= score_thr]) for prediction, _ in results]

    return Comparison(
        classes=list(dataset.metainfo['classes']),
        titles=titles,
        images=[
            {
                'id': info['img_id'],
                'name': Path(info['img_path']).name,
                'height': info['height'],
                'width': info['width'],
            }
            for info in infos
        ],
        annotations=[_targets(dataset, info) for info in infos],
        picture=picture,
        detect=detect,
    )


def _targets(dataset: BaseDataset, info: dict) -> list[dict]:
    """COCO annotations of an image of a data set, ignored regions too."""
    targets = []
    for number, instance in enumerate(info['instances']):
        if 'mask' not in instance:
            raise ValueError(f'{info["img_path"]}: expected a segmentation for each target, target {number} has none')
        mask = to_rle({'id': number, 'segmentation': instance['mask']}, (info['height'], info['width']))
        targets.append(
            {
                'category_id': instance['bbox_label'],
                'iscrowd': instance['ignore_flag'],
                'segmentation': mask,
                'area': int(mask_utils.area(mask)),
            }
        )
    return targets


def _as_coco(prediction: InstanceData) -> list[dict]:
    masks = encode_masks(prediction.masks)
    return [
        {'category_id': int(label), 'score': float(score), 'segmentation': mask}
        for label, score, mask in zip(prediction.labels, prediction.scores, masks, strict=True)
    ]


def judge(comparison: Comparison, positions: Sequence[int], iou_thr: float = 0.5) -> list[list[JudgedImage]]:
    """Detect in images and compare with the targets: for each model, for each image.

    Args:
        comparison: Images and models.
        positions: Of the images.
        iou_thr: Mask IoU from which a detection of the right class finds a target.
    """
    judged = []
    for model in range(len(comparison.titles)):
        results = []
        for position, found in zip(positions, comparison.detect(model, positions), strict=True):
            image = comparison.images[position]
            match = match_image(
                found, comparison.annotations[position], (image['height'], image['width']), iou_thr, len(found)
            )
            results.append(JudgedImage(match, find_mistakes(match, iou_thr, min(0.1, iou_thr / 2))))
        judged.append(results)
    return judged


def most_different(judged: Sequence[Sequence[JudgedImage]], num: int) -> list[int]:
    """Images in which the models differ most, in the order of that; a single model: where it errs most.

    An image counts the targets that some models find and others do not, and by how much the models differ in the
    number of wrong detections of each class. Greedy: classes that were shown already count less.

    Args:
        judged: For each model, for each image.
        num: How many; fewer if there are fewer images.

    Returns:
        Numbers of the images within ``judged``.
    """
    differences = [_difference(of_image) for of_image in zip(*judged, strict=True)]
    shown, left, chosen = Counter(), list(range(len(differences))), []
    while left and len(chosen) < num:
        best = max(left, key=lambda i: sum(value / (1 + shown[label]) for label, value in differences[i].items()))
        left.remove(best)
        chosen.append(best)
        shown.update(label for label, value in differences[best].items() if value >= 1)
    return chosen


def _difference(of_image: Sequence[JudgedImage]) -> dict[int, float]:
    """How much models differ in one image, by label; common mistakes decide between equals."""
    difference = defaultdict(float)
    found = [set(image.match.matched[image.match.matched >= 0].tolist()) for image in of_image]
    for index, target in enumerate(of_image[0].match.targets):
        finders = sum(index in taken for taken in found)
        disputed = 0 < finders < len(found) if len(found) > 1 else not finders
        difference[target['category_id']] += disputed + 1e-3 * (len(found) - finders)
    wrong = [Counter(m.category for m in image.mistakes if m.detection is not None) for image in of_image]
    for label in set().union(*wrong):
        numbers = [count[label] for count in wrong]
        difference[label] += max(numbers) - (min(numbers) if len(numbers) > 1 else 0) + 1e-3 * sum(numbers)
    return difference


def choose_positions(
    comparison: Comparison,
    num: int,
    by_errors: bool = False,
    indices: Sequence[int] | None = None,
    ids: Sequence[int | str] | None = None,
    iou_thr: float = 0.5,
    skipped: Skipped | None = None,
) -> list[int]:
    """Positions of the images to draw.

    Args:
        comparison: Images and models.
        num: How many images.
        by_errors: Take those in which the models differ most, for which all images are run through all models;
            else those that between them show all classes. With ``indices`` or ``ids``: add such up to ``num``.
        indices: Positions that are wanted.
        ids: Image ids that are wanted, as the annotation file has them or as text.
        iou_thr: Mask IoU from which a detection finds a target.
        skipped: Gets the images that cannot be read; without it they are chosen as others are.

    Raises:
        ValueError: If there is no such position or id.
    """
    number = len(comparison.images)
    if wrong := [i for i in indices or () if not 0 <= i < number]:
        raise ValueError(f'indices: expected numbers in 0..{number - 1}, got {wrong}')
    known = {str(image['id']): position for position, image in enumerate(comparison.images)}
    known |= {image['id']: position for position, image in enumerate(comparison.images)}
    if wrong := [i for i in ids or () if i not in known]:
        raise ValueError(f'ids: expected ids of images, got {wrong}')
    chosen = list(dict.fromkeys([*(indices or ()), *(known[i] for i in ids or ())]))
    if by_errors and len(chosen) < num:
        usable = _readable(comparison, range(number), skipped)
        ranked = most_different(judge(comparison, usable, iou_thr), num + len(chosen))
        chosen += [usable[i] for i in ranked if usable[i] not in chosen][: num - len(chosen)]
    if chosen:
        return _readable(comparison, chosen, skipped)
    labels = [{a['category_id'] for a in of_image if not a.get('iscrowd')} for of_image in comparison.annotations]
    return _readable(comparison, select_by_labels(labels, num), skipped)


def _readable(comparison: Comparison, positions: Sequence[int], skipped: Skipped | None) -> list[int]:
    """The positions whose images can be read: before the models run on them."""
    if skipped is None:
        return list(positions)
    usable = []
    for position in positions:
        with reading(skipped, comparison.images[position]['name']):
            comparison.picture(position)
            usable.append(position)
    skipped.require_some(usable)
    return usable


def instances(entries: Sequence[dict], size: tuple[int, int]) -> InstanceData:
    """COCO entries with RLE masks as ``bboxes`` (xyxy), ``labels``, ``masks`` and, of detections, ``scores``."""
    masks = [mask_utils.decode(entry['segmentation']).astype(bool) for entry in entries]
    boxes = np.array([mask_utils.toBbox(entry['segmentation']) for entry in entries]).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    scores = {'scores': np.array([entry['score'] for entry in entries])} if all('score' in e for e in entries) else {}
    return InstanceData(
        bboxes=boxes,
        labels=np.array([entry['category_id'] for entry in entries], dtype=int),
        masks=np.array(masks, dtype=bool).reshape(-1, *size),
        **scores,
    )


def grid_rows(comparison: Comparison, positions: Sequence[int]) -> list[GridRow]:
    """Rows for ``draw_grid``: every detection as it is, right or wrong."""
    found = [comparison.detect(model, positions) for model in range(len(comparison.titles))]
    rows = []
    for number, position in enumerate(positions):
        image = comparison.images[position]
        size = (image['height'], image['width'])
        targets = [a for a in comparison.annotations[position] if not a.get('iscrowd')]
        predictions = [instances(of_model[number], size) for of_model in found]
        rows.append(GridRow(comparison.picture(position), instances(targets, size), predictions, image['name']))
    return rows
