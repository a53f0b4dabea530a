"""Saved detections: the one reader of COCO results with masks, and its checks."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..datasets.coco_files import refuse
from ..datasets.validation.checks.masks import parse_masks, unusable
from ..datasets.validation.checks.structure import is_id
from ..fileio import read_text

_FIELDS = ('image_id', 'category_id', 'segmentation', 'score')
_AT_ONCE = 20_000  # masks whose runs are in memory


def read_detections(path: str | os.PathLike, coco: dict) -> list[dict]:
    """Read detections with masks as ``outfile_prefix`` of the COCO metrics saves them (``<prefix>.segm.json``).

    Args:
        path: COCO results: a JSON list of objects with ``image_id``, ``category_id``, ``segmentation`` and ``score``.
        coco: The annotation file that they are to be compared with (``read_coco``).

    Returns:
        The detections, without any other field; boxes are those of the masks where they are needed.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not JSON or no such list, or see :func:`check_detections`.

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
        >>> for entry in found:
        ...     entry['segmentation']['counts'] = entry['segmentation']['counts'].decode()
        >>> written = open('found.segm.json', 'w').write(json.dumps(found))
        >>> from mmdet_ir.evaluation import read_detections
        >>> len(read_detections('found.segm.json', coco))
        3
    """
    content = load_detections(path)
    check_detections(content, coco, path)
    return [{field: entry[field] for field in _FIELDS} for entry in content]


def load_detections(path: str | os.PathLike) -> list:
    """The entries of a file of COCO results, before any check of theirs; see :func:`read_detections`."""
    if not Path(path).is_file():
        raise FileNotFoundError(f'detections not found: {path}')
    text = read_text(path)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path} is not valid JSON (cut off, or another format?): {error}') from error
    if not isinstance(content, list):
        kind = type(content).__name__
        raise ValueError(f'{path}: expected a list of detections (<outfile_prefix>.segm.json), got a {kind}')
    return content


def check_detections(detections: Sequence[dict], coco: dict, where: str | os.PathLike) -> None:
    """Refuses what are no COCO results with masks of the images of an annotation file.

    Args:
        detections: COCO results; masks are compressed RLE.
        coco: Content of the annotation file.
        where: Where the detections come from, for the message.

    Raises:
        ValueError: If an entry lacks a field, its score is no finite number, its image or category is not in ``coco``,
            or its mask is no compressed RLE of the height and width of its image. The message names the entries.
    """
    numbered = list(enumerate(detections))
    others = [i for i, entry in numbered if not isinstance(entry, dict)]
    refuse(where, 'entries are no detections (<outfile_prefix>.segm.json is a list of objects); positions', others)
    for field in _FIELDS:
        lacking = [i for i, entry in numbered if field not in entry]
        hint = ' (boxes only? <outfile_prefix>.segm.json has the masks)' if field == 'segmentation' else ''
        refuse(where, f'detections lack "{field}"{hint}; positions in the list', lacking)
    sizes = {image['id']: (image['height'], image['width']) for image in coco['images']}
    categories = {category['id'] for category in coco['categories']}
    unusable_ids = [i for i, e in numbered if not (is_id(e['image_id']) and is_id(e['category_id']))]
    refuse(where, 'ids of images or categories are neither numbers nor text; positions in the list', unusable_ids)
    wrong_scores = [i for i, e in numbered if not is_score(e['score'])]
    refuse(where, 'detections have a score that is no finite number; positions in the list', wrong_scores)
    refuse(
        where,
        'detections are of images that the annotation file does not have; image ids',
        sorted({e['image_id'] for e in detections if e['image_id'] not in sizes}, key=str),
    )
    refuse(
        where,
        'detections have categories that the annotation file does not have; category ids',
        sorted({e['category_id'] for e in detections if e['category_id'] not in categories}, key=str),
    )
    misshaped = [i for i, e in numbered if not is_rle(e['segmentation'], sizes[e['image_id']])]
    refuse(where, 'detections lack an RLE mask of the height and width of their image; positions', misshaped)
    _check_runs(detections, sizes, where)


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


def _check_runs(detections: Sequence[dict], sizes: dict, where: str | os.PathLike) -> None:
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
