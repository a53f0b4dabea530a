"""Annotations and detections with their masks as RLE, checked, ready to be scored."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pycocotools import mask as mask_utils

from ..datasets.coco_files import refuse
from .detections import check_detections
from .mask_agreement import to_rle


@dataclass(frozen=True)
class MaskData:
    """What is scored. Entries are copies; those of the files are not changed.

    Attributes:
        images: COCO image entries.
        targets: COCO annotations of these images, ``segmentation`` as compressed RLE.
        detections: COCO results in these images, ``segmentation`` as compressed RLE, ``area`` that of the mask in
            pixels.
        classes: Category id by class name, in the order in which they are reported.
        others: Annotations of other classes in these images, as ``targets``: they do not count, and are no background.
    """

    images: list[dict]
    targets: list[dict]
    detections: list[dict]
    classes: dict[str, int]
    others: list[dict]

    def of_images(self, chosen: Sequence[dict]) -> 'MaskData':
        """The part in some of the images."""
        ids = {image['id'] for image in chosen}
        return replace(
            self,
            images=list(chosen),
            targets=[target for target in self.targets if target['image_id'] in ids],
            others=[other for other in self.others if other['image_id'] in ids],
            detections=[detection for detection in self.detections if detection['image_id'] in ids],
        )


def mask_data(
    coco: dict,
    detections: Sequence[dict],
    classes: dict[str, int],
    image_ids: Sequence[int] | None = None,
    where: tuple[str, str] = ('annotations', 'detections'),
) -> MaskData:
    """Check and prepare annotations and detections.

    Args:
        coco: Content of a COCO file, whose masks have been checked (``check_coco``).
        detections: COCO results with compressed RLE masks.
        classes: Category id by class name, in the order in which they are reported. Others do not count.
        image_ids: Images to score. Defaults to all.
        where: Where annotations and detections come from, for the messages.

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
    others = [
        a
        for a in coco['annotations']
        if a['image_id'] in wanted and a['category_id'] not in counted and a.get('segmentation')
    ]
    refuse(
        where[0],
        'annotations have no mask, so masks cannot be scored; annotation ids',
        [a['id'] for a in targets if not a.get('segmentation')],
    )
    refuse(where[0], 'annotations lack "area"; annotation ids', [a['id'] for a in targets if 'area' not in a])
    check_detections(detections, coco, where[1])
    found = [d for d in detections if d['image_id'] in wanted and d['category_id'] in counted]
    # one by one: pycocotools.mask.area fails on a list of more than 255 masks
    areas = [float(mask_utils.area(d['segmentation'])) for d in found]
    return MaskData(
        images=[image for i, image in known.items() if i in wanted],
        targets=[{**a, 'segmentation': to_rle(a, sizes[a['image_id']])} for a in targets],
        others=[{**a, 'segmentation': to_rle(a, sizes[a['image_id']])} for a in others],
        detections=[{**d, 'area': area} for d, area in zip(found, areas, strict=True)],
        classes=dict(classes),
    )
