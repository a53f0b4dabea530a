"""Mask scores beyond COCO's columns: by boundary, target size, contrast and kind of image."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from pycocotools import mask as mask_utils
from tqdm import tqdm

from ..datasets.coco_files import check_coco, check_file_name
from ..datasets.images.infrared_io import read_infrared
from ..datasets.images.values import to_single_channel
from ..datasets.validation.checks.structure import id_order
from ..fileio import read_json
from .coco_eval import BACKENDS, BOUNDARY_RATIO, MAX_DETS, accumulate, check_backend, uncounted
from .contrast import RING_WIDTH, signal_to_clutter
from .detections import load_detections
from .mask_data import MaskData, mask_data
from .rows import Rows, area_rows, bin_rows, without_nan

MEASURES = ('boundary', 'size', 'contrast')
FIELDS = ('scenario', 'source', 'scene', 'polarity')  # of images, written by this project's converters and scenes
NOT_STATED = 'not stated'
SIZE_BINS = (0, 8, 12, 16, 24, 32, 96, math.inf)  # square root of the area, pixels
CONTRAST_BINS = (0, 1.5, 3, 6, math.inf)  # local signal-to-clutter ratio


@dataclass(frozen=True)
class MeasureSettings:
    """How things are measured.

    Attributes:
        backend: One of ``BACKENDS``.
        boundary_ratio: Width of the margin that boundary IoU compares, as a fraction of the image diagonal.
        ring_width: Width of the surroundings for the contrast, in pixels.
        size_bins: Ascending bounds of the square root of the area, in pixels; a lower bound is included, an upper not.
        contrast_bins: The same of the signal-to-clutter ratio.
        image_key: Field of the images that names the file whose values the contrast is taken from.
        max_dets: How many detections of a class count in an image, those with the highest scores.

    Example:
        >>> from mmdet_ir.evaluation import MeasureSettings
        >>> MeasureSettings(size_bins=(0, 16, 32)).ring_width
        20
    """

    backend: str = BACKENDS[0]
    boundary_ratio: float = BOUNDARY_RATIO
    ring_width: int = RING_WIDTH
    size_bins: tuple[float, ...] = SIZE_BINS
    contrast_bins: tuple[float, ...] = CONTRAST_BINS
    image_key: str = 'file_name'
    max_dets: int = MAX_DETS

    def __post_init__(self) -> None:
        check_backend(self.backend)
        for name in ('size_bins', 'contrast_bins'):
            bounds = list(getattr(self, name))
            if len(bounds) < 2 or bounds != sorted(set(bounds)) or bounds[0] < 0:
                raise ValueError(f'{name}: expected two or more ascending bounds from 0 on, got {bounds}')
        if not (isinstance(self.ring_width, int) and self.ring_width >= 1):
            raise ValueError(f'ring_width: expected a whole number of pixels from 1 on, got {self.ring_width!r}')
        if not (isinstance(self.max_dets, int) and self.max_dets > 10):  # (COCO's lower numbers are 1 and 10)
            raise ValueError(f'max_dets: expected a whole number from 11 on, got {self.max_dets!r}')
        if not 0 < self.boundary_ratio < 1:
            raise ValueError(f'boundary_ratio: expected a number between 0 and 1, got {self.boundary_ratio!r}')


def measure(
    annotations: str | os.PathLike | dict,
    detections: str | os.PathLike | Sequence[dict],
    images: str | os.PathLike | None = None,
    *,
    extra: Sequence[str] | None = None,
    image_ids: Sequence[int] | None = None,
    settings: MeasureSettings | None = None,
    progress: bool = False,
) -> dict:
    """Score detected masks of one data set in every way that it allows.

    Args:
        annotations: COCO file with masks, or its content.
        detections: File of COCO results with RLE masks, as ``outfile_prefix`` of ``IRCocoMetric`` makes it
            (``*.segm.json``), or its content. Boxes in it are not used.
        images: Folder that the file names of ``annotations`` are relative to; needed for the contrast.
        extra: Any of ``MEASURES`` and fields of the images (``'scenario'``, ``'source'``, ...). Defaults to all
            ``MEASURES``, without ``'contrast'`` if there are no ``images`` and without ``'boundary'`` for the backend
            pycocotools, and those of ``FIELDS`` that the images have.
        image_ids: Images to score. Defaults to all of ``annotations``; one without detections counts as empty.
        settings: How things are measured; the defaults of ``MeasureSettings`` if ``None``.
        progress: Whether to show a progress bar where it may take long.

    Returns:
        Plain numbers, fractions from 0 to 1, ``None`` where there is no target:

        - ``'images'``, ``'detections'``: how many; ``'settings'``: the fields of ``settings``
        - ``'masks'``: row -> column -> value, rows being ``'all'`` and each class, columns those of ``IRCocoMetric``
        - ``'boundary'``: the same with boundary IoU
        - ``'size'``, ``'contrast'``: bin (such as ``'8-12'``) -> row -> ``targets, mAP, Recall, mAP50, mAP75``
        - ``'uncounted'``: only where an image has more than ``max_dets`` targets or detections of a class: a sentence
        - each field: value -> row -> column -> value, with ``'not stated'`` for images without the field

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is not as expected, ``extra`` has an unknown name, or the contrast is asked for without
            ``images``.

    Example:
        >>> import json
        >>> import numpy as np
        >>> from pycocotools.mask import encode
        >>> coco = json.load(open('val.json'))
        >>> found = []
        >>> for target in coco['annotations']:
        ...     x, y, w, h = target['bbox']
        ...     mask = np.zeros((60, 88), np.uint8, order='F')
        ...     mask[y : y + h, x : x + w] = 1
        ...     rle = encode(mask)
        ...     found.append({'image_id': target['image_id'], 'category_id': 2, 'score': 0.9, 'segmentation': rle})
        >>> from mmdet_ir.evaluation import measure
        >>> result = measure('val.json', found)  # detections that are the targets
        >>> print(result['masks']['all']['mAP'])
        1.0
    """
    settings = settings or MeasureSettings()
    coco = annotations if isinstance(annotations, dict) else read_json(annotations)
    check_coco(coco, 'annotations' if isinstance(annotations, dict) else annotations, masks=True)
    where = ('annotations' if isinstance(annotations, dict) else str(annotations), 'detections')
    if isinstance(detections, str | os.PathLike):
        where, detections = (where[0], str(detections)), load_detections(detections)
    classes = {category['name']: category['id'] for category in coco['categories']}
    data = mask_data(coco, detections, classes, image_ids, where)
    if extra is None:
        extra = _available(data.images, images, settings)
    check_extra(extra, data.images, images, settings, where[0])
    result = {
        'images': len(data.images),
        'detections': len(data.detections),
        'settings': {
            'backend': settings.backend,
            'boundary_ratio': settings.boundary_ratio,
            'ring_width': settings.ring_width,
            'image_key': settings.image_key,
            **({} if settings.max_dets == MAX_DETS else {'max_dets': settings.max_dets}),
        },
        'masks': standard_rows(data, 'segm', settings),
        **extra_measures(data, extra, images, settings, progress),
    }
    text = uncounted(data.targets, data.detections, settings.max_dets)
    return without_nan(result | ({} if text is None else {'uncounted': text}))


def _available(images: Sequence[dict], folder: str | os.PathLike | None, settings: MeasureSettings) -> list[str]:
    left_out = {'contrast': folder is None, 'boundary': settings.backend == 'pycocotools'}
    measures = [name for name in MEASURES if not left_out.get(name)]
    return measures + [field for field in FIELDS if any(field in image for image in images)]


def check_extra(
    extra: Sequence[str],
    images: Sequence[dict],
    folder: str | os.PathLike | None,
    settings: MeasureSettings,
    where: str,
) -> None:
    """Raises ``ValueError`` for a measure that does not exist or cannot be taken."""
    if isinstance(extra, str):
        raise ValueError(f'extra: expected a list of names, got the text {extra!r}')
    fields = sorted({field for image in images for field in image})
    for name in extra:
        if name not in MEASURES and name not in fields:
            raise ValueError(
                f'extra: expected any of {MEASURES} or a field of the images of {where} ({fields}), got {name!r}'
            )
    if 'contrast' in extra:
        if folder is None:
            raise ValueError('extra: contrast is taken from the images: expected their folder, got None')
        _check_files(images, Path(folder), settings.image_key, where)
    if 'boundary' in extra:
        check_backend(settings.backend, 'boundary')


def _check_files(images: Sequence[dict], folder: Path, key: str, where: str) -> None:
    """The folder and the field are the right ones if any file is there: others may belong to images not tested."""
    if images and not any(key in image for image in images):
        raise ValueError(f'extra: contrast: expected the field "{key}" in the images of {where}, got none with it')
    files = [
        folder / check_file_name(image[key], f'image id {image["id"]}, "{key}"') for image in images if key in image
    ]
    if files and not any(file.is_file() for file in files):
        raise ValueError(
            f'extra: contrast is taken from the images: expected them in the folder {folder}, got none of '
            f'{len(files)}, such as {files[0]}'
        )


def extra_measures(
    data: MaskData,
    extra: Sequence[str],
    images: str | os.PathLike | None,
    settings: MeasureSettings,
    progress: bool = False,
) -> dict[str, dict]:
    """The entries of ``measure`` that ``extra`` asks for, NaN where there is no target.

    Args:
        data: What to score.
        extra: As for ``measure``, checked.
        images: Folder of the images; for the contrast.
        settings: How things are measured.
        progress: Whether to show a progress bar.
    """
    result = {}
    for name in extra:
        if name == 'boundary':
            result[name] = standard_rows(data, 'boundary', settings)
        elif name == 'size':
            bounds = {label: (low**2, high**2) for label, (low, high) in _bins(settings.size_bins).items()}
            result[name] = _binned_rows(data, bounds, settings)
        elif name == 'contrast':
            result[name] = _binned_rows(
                with_contrast(data, Path(images), settings, progress), _bins(settings.contrast_bins), settings
            )
        else:
            result[name] = {
                value: standard_rows(data.of_images(chosen), 'segm', settings)
                for value, chosen in _by_field(data.images, name).items()
            }
    return result


def _bins(bounds: Sequence[float]) -> dict[str, tuple[float, float]]:
    return {f'{low:g}-{high:g}': (low, high) for low, high in pairwise(bounds)}


def _by_field(images: Sequence[dict], field: str) -> dict[str, list[dict]]:
    groups: dict[str, list[dict]] = {}
    for image in images:
        value = image.get(field)
        groups.setdefault(NOT_STATED if value is None else str(value), []).append(image)
    return dict(sorted(groups.items(), key=lambda group: (group[0] == NOT_STATED, group[0])))


def standard_rows(data: MaskData, kind: str, settings: MeasureSettings) -> Rows:
    """Rows ``'all'`` and of each class, columns of ``IRCocoMetric``; ``kind`` is ``'segm'`` or ``'boundary'``."""
    precision, recall = accumulate(
        data.images,
        data.targets,
        data.detections,
        sorted(data.classes.values(), key=id_order),
        kind,
        backend=settings.backend,
        boundary_ratio=settings.boundary_ratio,
        max_dets=settings.max_dets,
    )
    return area_rows(precision, recall, data.targets, data.classes)


def _binned_rows(
    data: MaskData, bins: Mapping[str, tuple[float, float]], settings: MeasureSettings
) -> dict[str, Rows]:
    """Rows of each bin of ``area``; COCO includes both bounds, here the upper one (if finite) is not included."""
    ranges = {
        label: (low, high if math.isinf(high) else float(np.nextafter(high, -math.inf)))
        for label, (low, high) in bins.items()
    }
    precision, recall = accumulate(
        data.images,
        data.targets,
        data.detections,
        sorted(data.classes.values(), key=id_order),
        'segm',
        backend=settings.backend,
        ranges=list(ranges.values()),
        max_dets=settings.max_dets,
    )
    return bin_rows(precision, recall, data.targets, data.classes, ranges)


def with_contrast(data: MaskData, folder: Path, settings: MeasureSettings, progress: bool = False) -> MaskData:
    """The data with each target's and detection's signal-to-clutter ratio as ``area``; -1 where it is not defined.

    Args:
        data: What to score.
        folder: Folder that the images' file names are relative to.
        settings: ``ring_width`` and ``image_key``.
        progress: Whether to show a progress bar.

    Raises:
        FileNotFoundError: If an image is missing.
        ValueError: If an image has no such field, is damaged, in colour, or of another size than its entry says.
    """
    targets, detections, others = ({image['id']: [] for image in data.images} for _ in range(3))
    for entries, places in ((data.targets, targets), (data.detections, detections), (data.others, others)):
        for entry in entries:
            places[entry['image_id']].append(entry)
    for image in tqdm(data.images, desc='contrast', unit='image', disable=not progress):
        true, found = targets[image['id']], detections[image['id']]
        if not true and not found:
            continue
        pixels = _read(image, folder, settings.image_key)
        marked = true + others[image['id']]  # (none of them is clutter)
        masks = mask_utils.decode([entry['segmentation'] for entry in true + found]).transpose(2, 0, 1)
        taken = np.zeros(pixels.shape, bool)
        if marked:
            taken |= mask_utils.decode(mask_utils.merge([entry['segmentation'] for entry in marked])).astype(bool)
        ratios = signal_to_clutter(pixels, masks, taken, settings.ring_width)
        ratios = np.where(np.isnan(ratios), -1, ratios).tolist()
        targets[image['id']] = [{**e, 'area': r} for e, r in zip(true, ratios[: len(true)], strict=True)]
        detections[image['id']] = [{**e, 'area': r} for e, r in zip(found, ratios[len(true) :], strict=True)]
    return replace(
        data,
        targets=[entry for entries in targets.values() for entry in entries],
        detections=[entry for entries in detections.values() for entry in entries],
    )


def _read(image: dict, folder: Path, key: str) -> np.ndarray:
    """Values ``[H, W]`` of one channel, as stored."""
    path = folder / check_file_name(image.get(key), f'image id {image["id"]}, "{key}"')
    pixels = to_single_channel(read_infrared(path, page=image.get('page')), path)
    if pixels.shape != (image['height'], image['width']):
        raise ValueError(f'{path}: expected height and width {(image["height"], image["width"])}, got {pixels.shape}')
    return pixels
