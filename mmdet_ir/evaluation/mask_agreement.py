"""How well masks of one COCO file agree with those of another, object by object."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from pycocotools import mask as mask_utils

from ..datasets.coco_files import read_coco, refuse
from ..markdown import markdown_table
from .rows import ALL

LEVELS = (0.5, 0.75)


@dataclass
class MaskAgreement:
    """IoU of masks with exact ones.

    Attributes:
        annotations: Annotation ids of the exact masks, ignored regions left out.
        labels: Class name of each.
        ious: Mask IoU of each, by the name of the file compared.
    """

    annotations: list[int]
    labels: list[str]
    ious: dict[str, np.ndarray]

    def summary(self) -> dict[str, dict[str, dict[str, float]]]:
        """Number, mean, median and share above each of ``LEVELS``, by file and class, all objects under ``'all'``."""
        labels = np.array(self.labels)
        chosen = {name: labels == name for name in dict.fromkeys(self.labels)} | {ALL: np.ones(len(labels), bool)}
        return {
            file: {
                name: {
                    'num': int(pick.sum()),
                    'mean': float(ious[pick].mean()),
                    'median': float(np.median(ious[pick])),
                    **{f'above_{round(100 * level)}': float((ious[pick] > level).mean()) for level in LEVELS},
                }
                for name, pick in chosen.items()
            }
            for file, ious in self.ious.items()
        }

    def table(self) -> str:
        """The summary as a Markdown table; shares are percentages."""
        shares = [f'above_{round(100 * level)}' for level in LEVELS]
        header = ['Class', 'Masks', 'Objects', 'Mean IoU', 'Median', *(f'IoU > {v:g}' for v in LEVELS)]
        lines = []
        summary = self.summary()
        for label in [*dict.fromkeys(self.labels), ALL]:
            for file in self.ious:
                row = summary[file][label]
                cells = [label, file, str(row['num']), f'{row["mean"]:.3f}', f'{row["median"]:.3f}']
                lines.append(cells + [f'{100 * row[key]:.1f} %' for key in shares])
        return markdown_table(header, lines, 'll' + 'r' * (3 + len(LEVELS)))


def compare_masks(exact: str | os.PathLike, others: Mapping[str, str | os.PathLike]) -> MaskAgreement:
    """Compare the masks of COCO files with exact ones; objects are matched by annotation id.

    Args:
        exact: COCO file with exact masks. Ignored regions (``iscrowd``) are left out.
        others: COCO files with masks of the same objects, by the name to show.

    Raises:
        ValueError: If an exact mask is missing or marked as derived, or another file lacks an object or its mask, or
            has it in another image. The message names file and annotations.

    Example:
        >>> from mmdet_ir.evaluation import compare_masks
        >>> agreement = compare_masks('val.json', {'itself': 'val.json'})
        >>> agreement.summary()['itself']['all']['mean']
        1.0
    """
    truth = read_coco(exact, masks=True)
    objects = [a for a in truth['annotations'] if not a.get('iscrowd')]
    if not objects:
        raise ValueError(f'{exact}: expected objects to compare with, got none but ignored regions')
    refuse(
        exact,
        'masks are missing or marked as derived, so not exact; annotation ids',
        [a['id'] for a in objects if not a.get('segmentation') or a.get('mask_source') == 'derived'],
    )
    sizes = {image['id']: (image['height'], image['width']) for image in truth['images']}
    classes = {category['id']: category['name'] for category in truth['categories']}
    ious = {}
    for name, path in others.items():
        found = {a['id']: a for a in read_coco(path, masks=True)['annotations'] if a.get('segmentation')}
        refuse(
            path,
            f'objects of {exact} have no mask; annotation ids',
            [a['id'] for a in objects if a['id'] not in found],
        )
        refuse(
            path,
            f'objects are in another image than in {exact}; annotation ids',
            [a['id'] for a in objects if found[a['id']]['image_id'] != a['image_id']],
        )
        ious[name] = np.array(
            [
                mask_utils.iou([to_rle(found[a['id']], size)], [to_rle(a, size)], [0])[0, 0]
                for a, size in ((a, sizes[a['image_id']]) for a in objects)
            ]
        )
    return MaskAgreement([a['id'] for a in objects], [classes[a['category_id']] for a in objects], ious)


def to_rle(annotation: dict, size: tuple[int, int]) -> dict:
    """Compressed RLE of an annotation's polygons or RLE in an image of ``size`` (H, W)."""
    segmentation = annotation['segmentation']
    if isinstance(segmentation, list):
        return mask_utils.merge(mask_utils.frPyObjects(segmentation, *size))
    if tuple(segmentation['size']) != tuple(size):
        raise ValueError(
            f'annotation {annotation["id"]}: expected an RLE of height and width {tuple(size)} as its '
            f'image, got {tuple(segmentation["size"])}'
        )
    return mask_utils.frPyObjects(segmentation, *size) if isinstance(segmentation['counts'], list) else segmentation
