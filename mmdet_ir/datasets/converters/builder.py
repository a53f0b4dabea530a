"""The COCO dictionaries of a data set, growing image by image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..coco_files import MADE_BY, write_coco
from ..derived_masks import box_corners
from ..images.files import grey_levels
from ..validation.repairs.values import as_number
from .boxes_to_coco import MIN_SIDE, clip_box, derive_mask, occupied_pixels, turn_box
from .class_names import class_of, target_classes
from .masks import is_numbers, to_segmentation
from .report import ConversionReport
from .values import as_flag, is_number

ALL = 'all'  # the split of a source that has none
BOX_TOLERANCE = 2.0  # pixels between a box and its mask's extent


@dataclass
class Instance:
    """An object as its source has it.

    Attributes:
        name: The source's class.
        where: File and entry, for messages.
        box: xywh in pixels, not checked yet; None to take the mask's.
        mask: COCO polygons (checked), ``[H, W]`` bool, or None where there is only a box.
        ignore: Whether it is a region in which detections do not count (``iscrowd``).
        fault: Why it cannot be used; then it is only counted.
        fields: Further fields of the annotation.
        corners: ``[4, 2]`` corners of the oriented box, pixels, for a mask that is derived; None: those of ``box``.
        targets: Classes to write, an annotation for each, where a release has its own rule; None: by ``name``.
        fills_box: Whether its derived mask is its (oriented) box, as of vehicles that are seen from above.
        method: How its mask was derived, where it is not annotated.
    """

    name: str
    where: str
    box: object = None
    mask: list[list[float]] | np.ndarray | None = None
    ignore: bool = False
    fault: str = ''
    fields: dict = field(default_factory=dict)
    corners: np.ndarray | None = None
    targets: tuple[str, ...] | None = None
    fills_box: bool = False
    method: str = ''

    def read_flag(self, name: str, value: object) -> None:
        """Ignore the object if a flag says so (``as_flag``), or note that it says nothing."""
        try:
            self.ignore |= as_flag(value, name)
        except ValueError as error:
            self.fault = str(error)

    def turn(self, rotation: object) -> None:
        """Turn the box about its centre, as labelling tools write it: an upright box and an angle beside it.

        Args:
            rotation: Degrees, clockwise; a text may hold the number, and None stands for no rotation.
        """
        degrees = as_number(rotation)
        if degrees is None:
            return
        if not is_number(degrees):
            self.fault = 'rotation that is no finite number'
        elif degrees and is_numbers(self.box, 4) and min(self.box[2:]) > 0:
            self.box, self.corners = turn_box(self.box, degrees)


class CocoBuilder:
    """Collects images and annotations of all splits; ids of both are numbered through the splits.

    Args:
        description: For ``info``.
        classes: Class to write by the source's name in lower case.
        report: Takes the counts.
        derive_masks: Whether objects without a mask get one that is derived from their box.
        fill_holes: Whether to fill the holes of masks.
        licence: Name and address of the source's licence, if it has one for all images.
        splits: Parts that are written even if they have no image; others come with their images.
    """

    def __init__(
        self,
        description: str,
        classes: Mapping[str, str],
        report: ConversionReport,
        derive_masks: bool = False,
        fill_holes: bool = False,
        licence: tuple[str, str] | None = None,
        splits: Sequence[str] = (),
    ) -> None:
        self.classes, self.report = classes, report
        self.derive_masks, self.fill_holes = derive_masks, fill_holes
        self.info = {'description': description, **MADE_BY}
        self.licences = [{'id': 1, 'name': licence[0], 'url': licence[1]}] if licence else []
        self.of_all = {'license': 1} if licence else {}
        self.targets = target_classes(classes)
        self.coco = {split: {'images': [], 'annotations': []} for split in splits}
        self.images = self.annotations = 0
        for split in splits:
            report.add_split(split)
        self.unlike = self.with_holes = self.outlines = self.rectangles = 0

    def add_image(self, split: str, file_name: str, image: np.ndarray, instances: list[Instance], /, **fields) -> None:
        """Add an image and its objects.

        Args:
            split: Name of the annotation file that lists the image.
            file_name: Relative to ``images/``.
            image: Its pixels, ``[H, W]`` or ``[H, W, 3]``.
            instances: Its objects.
            fields: Further fields of the image.
        """
        height, width = image.shape[:2]
        self.report.add_split(split)
        self.report.images[split] += 1
        self.images += 1
        coco = self.coco.setdefault(split, {'images': [], 'annotations': []})
        coco['images'].append(
            {'id': self.images, 'file_name': file_name, 'width': width, 'height': height, **self.of_all, **fields}
        )
        grey = occupied = None
        if self.derive_masks and any(item.mask is None for item in instances):
            boxes = [clip_box(item.box, width, height) for item in instances if is_numbers(item.box, 4)]
            grey, occupied = grey_levels(image), occupied_pixels(boxes, (height, width))
        for item in instances:
            self.report.read[item.name] += 1
            target = class_of(item.name, self.classes)
            targets = item.targets if item.targets is not None else (target,)
            if targets == (None,) and not item.fault:
                self.report.unmapped[item.name] += 1
                continue
            try:
                entry = self._to_annotation(item, targets, (width, height), grey, occupied)
            except ValueError as error:
                self.report.drop(item.name, str(error), item.where)
                continue
            for target in targets:
                self.annotations += 1
                coco['annotations'].append(
                    {
                        'id': self.annotations,
                        'image_id': self.images,
                        'category_id': self.targets.index(target) + 1,
                        **entry,
                        'iscrowd': int(item.ignore),
                        **item.fields,
                        'source_class': item.name,
                    }
                )
                self.report.became.setdefault(item.name, target)
                (self.report.ignored if item.ignore else self.report.written)[split][target] += 1

    def _to_annotation(self, item: Instance, targets: tuple[str, ...], size: tuple[int, int], grey, occupied) -> dict:
        """Box, mask and area. Raises ``ValueError`` with the reason if the object cannot be used."""
        if item.fault:
            raise ValueError(item.fault)
        if item.mask is None:
            return self._from_box(item, self._check_box(item.box, *size), targets, grey, occupied)
        segmentation, area, box = to_segmentation(item.mask, *size, self.fill_holes)
        if min(box[2:]) < MIN_SIDE:
            raise ValueError(f'mask under {MIN_SIDE:g} pixel wide or high')
        if item.box is not None:
            given = clip_box(item.box, *size) if is_numbers(item.box, 4) else [np.inf] * 4
            corners = [np.add(b[:2], b[2:]) for b in (box, given)]
            apart = np.abs([*np.subtract(box[:2], given[:2]), *np.subtract(*corners)]).max()
            self.unlike += bool(apart > BOX_TOLERANCE)
        self.with_holes += isinstance(segmentation, dict)
        entry = {'bbox': box, 'segmentation': segmentation, 'area': area}
        if item.method:
            for target in targets:
                self.report.methods[target, item.method] += 1
            return {**entry, 'mask_source': 'derived', 'mask_method': item.method}
        self.outlines += 1
        self.rectangles += isinstance(item.mask, list) and _is_rectangle(item.mask)
        for target in targets:
            self.report.annotated[target] += 1
        return {**entry, 'mask_source': 'annotated'}

    def _check_box(self, box: object, width: int, height: int) -> list[float]:
        if not is_numbers(box, 4):
            raise ValueError('box that is not four finite numbers')
        if min(box[2:]) <= 0:
            raise ValueError('box without width or height')
        cut = clip_box(box, width, height)
        if min(cut[2:]) < MIN_SIDE:
            raise ValueError(f'box outside the image or under {MIN_SIDE:g} pixel')
        self.report.clipped += not np.allclose(cut, box)
        return cut

    def _from_box(self, item: Instance, box: list[float], targets: tuple[str, ...], grey, occupied) -> dict:
        if grey is None:
            for target in targets:
                self.report.boxes_only[target] += 1
            return {'bbox': box, 'segmentation': [], 'area': box[2] * box[3]}
        x, y, w, h = item.box
        corners = box_corners(x + w / 2, y + h / 2, w, h) if item.corners is None else item.corners
        mask = derive_mask(grey, corners, box, targets[0], item.ignore or item.fills_box, occupied)
        if mask is None:
            raise ValueError('too small for a mask')
        for target in targets:
            self.report.methods[target, mask.method] += 1
        return {
            'bbox': box,
            'segmentation': mask.polygons,
            'area': mask.area,
            'mask_source': 'derived',
            'mask_method': mask.method,
        }

    def write(self, folder: Path) -> None:
        """Write ``annotations/SPLIT.json``.

        Raises:
            ValueError: If there is no image or no object to write.
        """
        if not self.images:
            first = f'; the first: {self.report.skipped[0]}' if self.report.skipped else ''
            raise ValueError(f'no usable image; {len(self.report.skipped)} skipped{first}')
        if not self.report.read:
            why = [*self.report.skipped, *self.report.notes]
            raise ValueError(f'none of the {self.images} images has an object{f"; {why[0]}" if why else ""}')
        if not self.annotations:
            dropped, hint = self.report.dropped, ''
            if self.report.unmapped:
                hint = f'; classes of the source are {sorted(self.report.read)}; {self.report.remedy}'
            lost = ''
            if dropped:
                first = next(iter(dropped))
                lost = f'; {dropped.total()} dropped, the first: {first} ({self.report.examples[first][0]})'
            raise ValueError(f'no object left to write{hint}{lost}')
        notes = self.report.notes
        if self.unlike:
            notes.append(
                f'{self.unlike} boxes of the source are more than {BOX_TOLERANCE:g} pixels off their masks; '
                f'the extents of the masks were written'
            )
        if self.with_holes:
            notes.append(
                f'{self.with_holes} masks have holes and are RLE; configs with poly2mask=False need --fill-holes'
            )
        if self.rectangles and self.rectangles == self.outlines:
            notes.append(
                f'all {self.rectangles} outlines are rectangles, upright or turned: are they boxes rather than masks? '
                f'They were written as masks'
            )
        if ALL in self.coco:
            notes.append(f'the source has no train and val: split annotations/{ALL}.json with tools/data/split.py')
        categories = [{'id': i, 'name': name} for i, name in enumerate(self.targets, start=1)]
        head = {'info': self.info, **({'licenses': self.licences} if self.licences else {}), 'categories': categories}
        for split, part in self.coco.items():
            write_coco({**head, **part}, folder / 'annotations' / f'{split}.json')


def _is_rectangle(polygons: list[list[float]]) -> bool:
    """Whether the only polygon has four corners with right angles, by up to half a pixel."""
    if len(polygons) != 1 or len(polygons[0]) != 8:
        return False
    a, b, c, d = np.reshape(polygons[0], (4, 2))
    diagonals = np.linalg.norm(c - a) - np.linalg.norm(d - b)  # a parallelogram with equal diagonals
    return bool(np.abs(a + c - b - d).max() <= 1 and abs(diagonals) <= 1)
