"""From images and objects as any source has them to a data set of this project's layout."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..coco_files import link_or_copy, output_folder, write_coco
from ..derived_masks import box_corners
from ..images.files import grey_levels, is_eight_bit
from ..images.infrared_io import read_infrared
from .boxes_to_coco import MIN_SIDE, clip_box, derive_mask, occupied_pixels
from .class_names import DEFAULT_CLASSES, class_of, target_classes
from .masks import is_numbers, to_segmentation
from .report import ConversionReport

ALL = 'all'  # the split of a source that has none
_SPLIT_NAMES = {'train': 'train', 'val': 'val', 'valid': 'val', 'validation': 'val', 'test': 'test'}
BOX_TOLERANCE = 2.0  # pixels between a box and its mask's extent


@dataclass(frozen=True)
class Options:
    """What all formats let the user choose.

    Attributes:
        classes: Class to write by the source's name in lower case, see ``parse_classes``.
        derive_masks: Whether to derive masks for objects that have boxes only; they are marked as derived.
        fill_holes: Whether to fill the holes of masks, so that all of them become polygons.
        overwrite: Whether to replace a data set that is in the output folder.
    """

    classes: Mapping[str, str] = field(default_factory=lambda: DEFAULT_CLASSES)
    derive_masks: bool = False
    fill_holes: bool = False
    overwrite: bool = False


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
    """

    name: str
    where: str
    box: object = None
    mask: list[list[float]] | np.ndarray | None = None
    ignore: bool = False
    fault: str = ''
    fields: dict = field(default_factory=dict)


@dataclass
class Record:
    """An image with its objects.

    Attributes:
        path: Image file.
        name: Its ``file_name`` in the data set.
        split: ``train``, ``val``, ``test``, or ``ALL``.
        where: Annotation file and entry, for messages.
        labels: Class of each object, as far as known without the image.
        read: The objects, from width and height of the image; raises ``ValueError`` if there is no reading them.
        size: Width and height as the annotation says, or None.
        fields: Further fields of the image.
    """

    path: Path
    name: str
    split: str
    where: str
    labels: list[str]
    read: Callable[[int, int], list[Instance]]
    size: tuple[int, int] | None = None
    fields: dict = field(default_factory=dict)


def split_of(folders: tuple[str, ...]) -> str:
    """The split that a file belongs to, from the names of the folders it is in."""
    return next((_SPLIT_NAMES[part.lower()] for part in folders if part.lower() in _SPLIT_NAMES), ALL)


def write_records(
    records: list[Record],
    out: str | Path,
    description: str,
    options: Options,
    report: ConversionReport,
    check_depth: bool = False,
    keep_eight_bit: bool = False,
) -> ConversionReport:
    """Write the data set: ``annotations/SPLIT.json`` and ``images/`` (hard links where possible, else copies).

    Ids of images and annotations are numbered anew through all splits. Left out with their objects, and listed, are
    images whose file is missing, does not load (see ``read_infrared``) or is of another size than its annotation says,
    and those that occur twice.

    Args:
        records: Images of all splits.
        out: Folder to write.
        description: For ``info``.
        options: The user's choices.
        report: Takes the counts; may hold some already.
        check_depth: Whether the images must hold more than 8 bits.
        keep_eight_bit: With ``check_depth``, whether to keep those that do not, marked with ``eight_bit``.

    Returns:
        ``report``.

    Raises:
        FileExistsError: If ``out`` is not empty and may not be replaced.
        ValueError: If no image or no object is left.
    """
    writer = _Writer(description, options, report)
    seen, eight_bit = set(), 0
    with output_folder(out, options.overwrite) as folder:
        for record in tqdm(records, desc='convert', unit='image'):
            try:
                if record.name in seen:
                    raise ValueError(f'{record.where}: the image {record.name} has occurred before')
                image = read_infrared(record.path)
                height, width = image.shape[:2]
                if record.size not in (None, (width, height)):
                    raise ValueError(
                        f'{record.path}: expected width and height {record.size} as in {record.where}, '
                        f'got {(width, height)}'
                    )
                disguised = check_depth and is_eight_bit(image)
                eight_bit += disguised
                if disguised and not keep_eight_bit:
                    raise ValueError(f'{record.path}: expected more than 8 bits, got 8-bit levels')
                instances = record.read(width, height)
            except (FileNotFoundError, ValueError) as error:
                skip(report, record, str(error))
                continue
            seen.add(record.name)
            link_or_copy(record.path.resolve(), folder / 'images' / record.name)
            if disguised:
                record.fields['eight_bit'] = True
            writer.add_image(record, image, instances)
        if check_depth:
            fate = 'kept, marked eight_bit' if keep_eight_bit else 'left out (see skipped)'
            report.notes.append(f'{eight_bit} of {len(records)} images hold 8-bit levels in a 16-bit file: {fate}')
        writer.finish(folder)
    return report


def skip(report: ConversionReport, record: Record, reason: str) -> None:
    """Leave out an image with its objects."""
    report.skipped.append(reason + (f'; {len(record.labels)} objects left out with it' if record.labels else ''))
    for name in record.labels:
        report.read[name] += 1
        report.drop(name, 'its image is left out', record.where)


class _Writer:
    """Collects the COCO dictionaries of the splits."""

    def __init__(self, description: str, options: Options, report: ConversionReport) -> None:
        self.description, self.options, self.report = description, options, report
        self.targets = target_classes(options.classes)
        self.coco, self.images, self.annotations = {}, 0, 0
        self.unlike = self.with_holes = 0

    def add_image(self, record: Record, image: np.ndarray, instances: list[Instance]) -> None:
        height, width = image.shape[:2]
        self.report.add_split(record.split)
        self.report.images[record.split] += 1
        self.images += 1
        coco = self.coco.setdefault(record.split, {'images': [], 'annotations': []})
        coco['images'].append(
            {'id': self.images, 'file_name': record.name, 'width': width, 'height': height, **record.fields}
        )
        grey = occupied = None
        if self.options.derive_masks and any(item.mask is None for item in instances):
            boxes = [clip_box(item.box, width, height) for item in instances if is_numbers(item.box, 4)]
            grey, occupied = grey_levels(image), occupied_pixels(boxes, (height, width))
        for item in instances:
            self.report.read[item.name] += 1
            target = class_of(item.name, self.options.classes)
            if target is None and not item.fault:
                self.report.unmapped[item.name] += 1
                continue
            try:
                entry = self._to_annotation(item, target, (width, height), grey, occupied)
            except ValueError as error:
                self.report.drop(item.name, str(error), item.where)
                continue
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
            self.report.became[item.name] = target
            (self.report.ignored if item.ignore else self.report.written)[record.split][target] += 1

    def _to_annotation(self, item: Instance, target: str, size: tuple[int, int], grey, occupied) -> dict:
        """Box, mask and area. Raises ``ValueError`` with the reason if the object cannot be used."""
        if item.fault:
            raise ValueError(item.fault)
        if item.mask is None:
            box = self._check_box(item.box, *size)
            return self._from_box(item, box, target, grey, occupied)
        segmentation, area, box = to_segmentation(item.mask, *size, self.options.fill_holes)
        if min(box[2:]) < MIN_SIDE:
            raise ValueError(f'mask under {MIN_SIDE:g} pixel wide or high')
        if item.box is not None:
            given = clip_box(item.box, *size) if is_numbers(item.box, 4) else [np.inf] * 4
            corners = [np.add(b[:2], b[2:]) for b in (box, given)]
            apart = np.abs([*np.subtract(box[:2], given[:2]), *np.subtract(*corners)]).max()
            self.unlike += bool(apart > BOX_TOLERANCE)
        self.with_holes += isinstance(segmentation, dict)
        self.report.annotated[target] += 1
        return {'bbox': box, 'segmentation': segmentation, 'area': area, 'mask_source': 'annotated'}

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

    def _from_box(self, item: Instance, box: list[float], target: str, grey, occupied) -> dict:
        if grey is None:
            self.report.boxes_only[target] += 1
            return {'bbox': box, 'segmentation': [], 'area': box[2] * box[3]}
        x, y, w, h = item.box
        corners = box_corners(x + w / 2, y + h / 2, w, h)
        mask = derive_mask(grey, corners, box, target, item.ignore, occupied)
        if mask is None:
            raise ValueError('too small for a mask')
        self.report.methods[target, mask.method] += 1
        return {
            'bbox': box,
            'segmentation': mask.polygons,
            'area': mask.area,
            'mask_source': 'derived',
            'mask_method': mask.method,
        }

    def finish(self, folder: Path) -> None:
        """Write the files. Raises ``ValueError`` if there is nothing to write."""
        if not self.images:
            first = f'; the first: {self.report.skipped[0]}' if self.report.skipped else ''
            raise ValueError(f'no usable image; {len(self.report.skipped)} skipped{first}')
        if not self.report.read:
            raise ValueError(f'none of the {self.images} images has an object')
        if not self.annotations:
            dropped = self.report.dropped
            lost = f'; {dropped.total()} dropped, the first: {next(iter(dropped))}' if dropped else ''
            raise ValueError(
                f'no object left to write: classes of the source are {sorted(self.report.read)}; '
                f'name those to take with --classes, such as human=person,pedestrian{lost}'
            )
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
        if ALL in self.coco:
            notes.append(f'the source has no train and val: split annotations/{ALL}.json with tools/data/split.py')
        categories = [{'id': i, 'name': name} for i, name in enumerate(self.targets, start=1)]
        for split, part in self.coco.items():
            info = {'description': self.description}
            write_coco({'info': info, 'categories': categories, **part}, folder / 'annotations' / f'{split}.json')
