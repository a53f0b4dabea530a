"""What the converters share: a COCO dictionary that grows image by image, with masks derived from boxes."""

import numpy as np

from ..coco_files import CLASSES, SPLITS, class_categories
from ..derived_masks import LOOSE, TIGHT, DerivedMask, derive_box_mask, derive_threshold_mask
from .report import ConversionReport

FILLS_ITS_BOX = ('car',)  # classes whose mask is the oriented box; the others are thresholded inside it
LOOSE_BOXES = ('uav',)  # classes whose boxes leave a margin around the target
MIN_SIDE = 1.0  # pixels; MMDetection drops smaller boxes too


class CocoBuilder:
    """Collects images and annotations of all splits.

    Args:
        description: For ``info``.
        license_name: Licence of the source.
        license_url: Its text.
        report: Takes the counts.
        splits: The parts of the data set.
    """

    def __init__(
        self,
        description: str,
        license_name: str,
        license_url: str,
        report: ConversionReport,
        splits: tuple[str, ...] = SPLITS,
    ) -> None:
        self.report = report
        self.coco = {
            split: {
                'info': {
                    'description': description,
                    'masks': 'derived from boxes, not annotated: see mask_source and mask_method of each annotation',
                },
                'licenses': [{'id': 1, 'name': license_name, 'url': license_url}],
                'categories': class_categories(),
                'images': [],
                'annotations': [],
            }
            for split in splits
        }
        for split in splits:
            report.add_split(split)
        self._next_image = 1
        self._next_annotation = 1

    def add_image(self, split: str, file_name: str, image: np.ndarray, objects: list[dict], **fields) -> None:
        """Add an image and its objects.

        Args:
            split: One of the parts.
            file_name: Relative to ``images/``.
            image: ``[H, W]`` 8-bit grey levels.
            objects: Each with ``name`` (source's class), ``classes`` (ours), ``bbox`` (xywh, pixels), ``corners``
                (``[4, 2]``, pixels), ``ignore`` and, optionally, ``fields`` for the annotation.
            fields: Further fields of the image.
        """
        height, width = image.shape
        self.report.images[split] += 1
        self.coco[split]['images'].append(
            {'id': self._next_image, 'file_name': file_name, 'width': width, 'height': height, 'license': 1, **fields}
        )
        boxes = [clip_box(item['bbox'], width, height) for item in objects]
        occupied = occupied_pixels(boxes, image.shape)
        for item, box in zip(objects, boxes, strict=True):
            self.report.read[item['name']] += 1
            if min(box[2:]) < MIN_SIDE:
                self.report.dropped[f'{item["name"]}: box outside the image or under {MIN_SIDE:g} pixel'] += 1
                continue
            self.report.clipped += not np.allclose(box, item['bbox'])
            self._add_object(split, image, item, box, occupied)
        self._next_image += 1

    def _add_object(self, split: str, image: np.ndarray, item: dict, box: list[float], occupied: np.ndarray) -> None:
        mask = derive_mask(image, item['corners'], box, item['classes'][0], item['ignore'], occupied)
        if mask is None:
            self.report.dropped[f'{item["name"]}: too small for a mask'] += 1
            return
        counts = self.report.ignored if item['ignore'] else self.report.written
        for name in item['classes']:
            counts[split][name] += 1
            self.report.methods[name, mask.method] += 1
            self.coco[split]['annotations'].append(
                {
                    'id': self._next_annotation,
                    'image_id': self._next_image,
                    'category_id': CLASSES.index(name) + 1,
                    'bbox': box,
                    'segmentation': mask.polygons,
                    'area': mask.area,
                    'iscrowd': int(item['ignore']),
                    'mask_source': 'derived',
                    'mask_method': mask.method,
                    **item.get('fields', {}),
                }
            )
            self._next_annotation += 1


def derive_mask(
    image: np.ndarray, corners: np.ndarray, box: list[float], name: str, ignore: bool, occupied: np.ndarray
) -> DerivedMask | None:
    """Mask of one box by the rule of its class: the oriented box itself, or the pixels that differ from around it.

    Args:
        image: ``[H, W]`` 8-bit grey levels.
        corners: ``[4, 2]`` corners of the (oriented) box, pixels.
        box: xywh, pixels, inside the image.
        name: Class, one of ours.
        ignore: Whether it is an ignored region, whose mask is its oriented box.
        occupied: ``[H, W]`` bool, pixels of all boxes of the image.
    """
    if ignore or name in FILLS_ITS_BOX:
        return derive_box_mask(corners, box, image.shape)
    return derive_threshold_mask(image, corners, box, occupied, LOOSE if name in LOOSE_BOXES else TIGHT)


def occupied_pixels(boxes: list[list[float]], image_size: tuple[int, int]) -> np.ndarray:
    """``[H, W]`` bool: pixels that one of the xywh boxes touches."""
    occupied = np.zeros(image_size, bool)
    for x, y, w, h in boxes:
        occupied[int(y) : int(np.ceil(y + h)), int(x) : int(np.ceil(x + w))] = True
    return occupied


def clip_box(box: list[float], width: int, height: int) -> list[float]:
    """Cut an xywh box to an image; width and height are 0 where nothing is left."""
    x0, x1 = np.clip([box[0], box[0] + box[2]], 0, width)
    y0, y1 = np.clip([box[1], box[1] + box[3]], 0, height)
    return [round(float(v), 4) for v in (x0, y0, max(x1 - x0, 0), max(y1 - y0, 0))]
