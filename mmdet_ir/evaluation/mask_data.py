"""Annotations and detections with their masks as RLE, checked, ready to be scored."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pycocotools import mask as mask_utils

from ..datasets.coco_files import refuse
from ..datasets.validation.masks import parse_masks, unusable
from ..datasets.validation.structure import is_id
from .mask_agreement import to_rle

_AT_ONCE = 20_000  # masks whose runs are in memory


@dataclass(frozen=True)
class MaskData:
    """What is scored. Entries are copies; those of the files are not changed.

    Attributes:
        images: COCO image entries.
        targets: COCO annotations of these images, ``segmentation`` as compressed RLE.
        detections: COCO results in these images, ``segmentation`` as compressed RLE, ``area`` that of the mask in
            pixels.
        classes: Category id by class name, in the order in which they are reported.
    """

    images: list[dict]
    targets: list[dict]
    detections: list[dict]
    classes: dict[str, int]

    def of_images(self, chosen: Sequence[dict]) -> 'MaskData':
        """The part in some of the images."""
        ids = {image['id'] for image in chosen}
        return replace(
            self,
            images=list(chosen),
            targets=[target for target in self.targets if target['image_id'] in ids],
            detections=[detection for detection in self.detections if detection['image_id'] in ids],
        )


def mask_data(
    coco: dict,
    detections: Sequence[dict],
    classes: dict[str, int],
    image_ids: Sequence[int] | None = None,
    where: tuple[str, str] = ('annotations', 'detections'),
    own: bool = False,
) -> MaskData:
    """Check and prepare annotations and detections.

    Args:
        coco: Content of a COCO file, whose masks have been checked (``check_coco``).
        detections: COCO results with compressed RLE masks.
        classes: Category id by class name, in the order in which they are reported. Others do not count.
        image_ids: Images to score. Defaults to all.
        where: Where annotations and detections come from, for the messages.
        own: Whether the detections were encoded by this program, so that their runs need no check.

    Raises:
        ValueError: If an annotation has no mask or no area, or a detection is of an unknown image or category, or its
            mask is missing or has another size than its image. The message names file and entries.
    """
    known = {image['id']: image for image in coco['images']}
    sizes = {i: (image['height'], image['width']) for i, image in known.items()}
    wanted = known.keys() if image_ids is None else set(image_ids)
    refuse(where[0], 'images to score are unknown; image ids', [i for i in wanted if i not in known])
    counted = set(classes.values())
    targets = [a for a in coco['annotations'] if a['image_id'] in wanted and a['category_id'] in counted]
    refuse(
        where[0],
        'annotations have no mask, so masks cannot be scored; annotation ids',
        [a['id'] for a in targets if not a.get('segmentation')],
    )
    refuse(where[0], 'annotations lack "area"; annotation ids', [a['id'] for a in targets if 'area' not in a])
    _check_detections(detections, sizes, {category['id'] for category in coco['categories']}, where[1])
    if not own:
        check_runs(detections, sizes, where[1])
    found = [d for d in detections if d['image_id'] in wanted and d['category_id'] in counted]
    # one by one: pycocotools.mask.area fails on a list of more than 255 masks
    areas = [float(mask_utils.area(d['segmentation'])) for d in found]
    return MaskData(
        images=[image for i, image in known.items() if i in wanted],
        targets=[{**a, 'segmentation': to_rle(a, sizes[a['image_id']])} for a in targets],
        detections=[{**d, 'area': area} for d, area in zip(found, areas, strict=True)],
        classes=dict(classes),
    )


def _check_detections(detections: Sequence[dict], sizes: dict, categories: set, where: str) -> None:
    """Raises ``ValueError`` for entries that are no COCO results with masks of their image's size."""
    required = {'image_id', 'category_id', 'score', 'segmentation'}
    refuse(
        where,
        f'entries lack one of {", ".join(sorted(required))}; entries',
        [i for i, d in enumerate(detections) if not (isinstance(d, dict) and required <= d.keys())],
    )
    unusable_ids = [i for i, d in enumerate(detections) if not (is_id(d['image_id']) and is_id(d['category_id']))]
    refuse(where, 'ids of images or categories are neither numbers nor text; entries', unusable_ids)
    refuse(
        where,
        'scores are no finite numbers; entries',
        [i for i, d in enumerate(detections) if not is_score(d['score'])],
    )
    refuse(
        where,
        'detections are of unknown images; image ids',
        sorted({d['image_id'] for d in detections if d['image_id'] not in sizes}),
    )
    refuse(
        where,
        'detections are of unknown categories; category ids',
        sorted({d['category_id'] for d in detections if d['category_id'] not in categories}),
    )
    refuse(
        where,
        "masks are no compressed RLE of their image's height and width; entries",
        [i for i, d in enumerate(detections) if not is_rle(d['segmentation'], sizes[d['image_id']])],
    )


def is_rle(segmentation: object, size: tuple[int, int]) -> bool:
    """Whether this is a compressed RLE that says it has ``size``, height and width; its runs are not looked at."""
    return (
        isinstance(segmentation, dict)
        and isinstance(segmentation.get('counts'), str | bytes)
        and isinstance(segmentation.get('size'), list | tuple)
        and tuple(segmentation['size']) == size
    )


def is_score(value: object) -> bool:
    """Whether this is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float('inf')


def check_runs(detections: Sequence[dict], sizes: dict, where: str | os.PathLike) -> None:
    """Refuse RLE whose runs do not make up their image: pycocotools would write beyond the mask's memory.

    Args:
        detections: COCO results with an RLE of their image's size.
        sizes: Height and width by image id.
        where: For the message.

    Raises:
        ValueError: If there are such entries; the message names them.
    """
    bad = []
    for begin in range(0, len(detections), _AT_ONCE):
        part = detections[begin : begin + _AT_ONCE]
        size = np.array([sizes[d['image_id']] for d in part], float).reshape(-1, 2)[:, ::-1]
        bad += (begin + unusable(parse_masks([d['segmentation'] for d in part], size))).tolist()
    refuse(where, 'masks have damaged counts, or counts that do not add up to the size; entries', bad)


def read_detections(path: str | os.PathLike) -> list[dict]:
    """Read a file of COCO results, such as ``<outfile_prefix>.segm.json``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not JSON or not a list.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'detections not found: {path}')
    try:
        content = json.loads(Path(path).read_text(encoding='utf-8'))
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path} is not valid JSON (cut off, or another format?): {error}') from error
    if not isinstance(content, list):
        kind = type(content).__name__
        raise ValueError(f'{path}: expected a list of detections (<outfile_prefix>.segm.json), got a {kind}')
    return content
