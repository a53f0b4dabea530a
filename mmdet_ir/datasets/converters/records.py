"""From images and objects as any source has them to a data set of this project's layout."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from tqdm import tqdm

from ..coco_files import link_or_copy, output_folder
from ..coco_split import existing_split, keep_split
from ..images.files import is_eight_bit
from ..images.infrared_io import read_with_header, turned
from ..images.readers import RAW_SUFFIXES
from ..images.values import depth_of, in_words
from ..recordings import recordings_of
from .builder import ALL, CocoBuilder, Instance
from .class_names import own_classes
from .report import ConversionReport

_SPLIT_NAMES = {'train': 'train', 'val': 'val', 'valid': 'val', 'validation': 'val', 'test': 'test'}


@dataclass(frozen=True)
class Options:
    """What all formats let the user choose.

    Attributes:
        classes: Class to write by the source's name in lower case, see ``parse_classes``; the names that it lacks are
            left out. None for the source's own names.
        derive_masks: Whether to derive masks for objects that have boxes only; they are marked as derived.
        fill_holes: Whether to fill the holes of masks, so that all of them become polygons.
        overwrite: Whether to replace a data set that is in the output folder. A split of ``all.json`` that was made
            there is kept: known images keep their part, and new images are divided.
        clip_from: How the recording of an image (``clip``) follows from its file, see ``recordings_of``.
        depth: ``'8'``, ``'16'`` or ``'float'``: takes the images of this depth only.
        raw: Whether files of pixels alone (``register_raw``) are among the images; they are written as ``.npy``.

    Example:
        >>> from mmdet_ir.datasets.converters import Options, parse_classes
        >>> Options(classes=parse_classes(['human=person']), derive_masks=True).derive_masks
        True
    """

    classes: Mapping[str, str] | None = None
    derive_masks: bool = False
    fill_holes: bool = False
    overwrite: bool = False
    clip_from: str | None = None
    depth: str | None = None
    raw: bool = False


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
        load: Where the file is not the image itself, such as a channel of it: gives the pixels, which are written as
            PNG.
    """

    path: Path
    name: str
    split: str
    where: str
    labels: list[str]
    read: Callable[[int, int], list[Instance]]
    size: tuple[int, int] | None = None
    fields: dict = field(default_factory=dict)
    load: Callable[[], np.ndarray] | None = None


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
    declared: Sequence[str] = (),
    licence: tuple[str, str] | None = None,
    sources: Sequence[str | Path] = (),
    licences: Sequence[dict] = (),
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
        declared: The classes that the source itself lists, in its order; they become categories where the user asks
            for no others, whether there are objects of them or not.
        licence: Name and address of the terms of the images.
        sources: Files and folders that were read. Neither they nor the folders of the images may be in ``out``.
        licences: Entries of ``licenses``, which the records name in their field ``license``; not beside ``licence``.

    Returns:
        ``report``.

    Raises:
        FileExistsError: If ``out`` is not empty and may not be replaced.
        ValueError: If no image or no object is left, the split that is in ``out`` cannot be kept, or to replace
            ``out`` would delete what was read.
    """
    classes = options.classes
    report.own_names = classes is None
    if classes is None:
        classes = own_classes(declared, (name for record in records for name in record.labels))
    if options.clip_from is not None:
        for record, clip in zip(records, recordings_of([r.name for r in records], options.clip_from), strict=True):
            record.fields['clip'] = clip
    builder = CocoBuilder(description, classes, report, options.derive_masks, options.fill_holes, licence)
    builder.licences += licences
    seen, eight_bit, unsure = {}, 0, []
    folders = dict.fromkeys(record.path.parent for record in records)
    depths: dict[str, list[Path]] = {}
    with output_folder(out, options.overwrite, [*sources, *folders]) as folder:
        former = existing_split(Path(out, 'annotations')) if options.overwrite else None
        for record in tqdm(records, desc='convert', unit='image'):
            from_raw = options.raw and record.path.suffix.lower() in RAW_SUFFIXES
            if from_raw:  # (before the name is looked for: the file of another image must not be written to)
                record.name = str(PurePosixPath(record.name).with_suffix('.npy'))
            try:
                if seen.get(record.name) == record.path:
                    raise ValueError(f'{record.where}: the image {record.name} has occurred before')
                if record.name in seen:
                    raise ValueError(
                        f'{record.where}: the image {record.path} would be {record.name} in the data set, as '
                        f'{seen[record.name]} is; rename one of them'
                    )
                if record.load is not None:
                    image, header = record.load(), None
                else:
                    image, header = read_with_header(record.path)
                height, width = image.shape[:2]
                depth = depth_of(image)
                depths.setdefault(depth, []).append(record.path)
                if options.depth not in (None, depth):
                    continue
                if record.size not in (None, (width, height)):
                    raise ValueError(
                        f'{record.path}: expected width and height {record.size} as in {record.where}, '
                        f'got {(width, height)}' + (f'; {turned(header)}' if header and header.orientation > 1 else '')
                    )
                # (where the orientation exchanges the sides, the size that the annotation gives tells its picture)
                orientation = header.orientation if header else 1
                if orientation > 1 and (record.size is None or orientation < 5 or width == height):
                    unsure.append(record.path)
                disguised = check_depth and is_eight_bit(image)
                eight_bit += disguised
                if disguised and not keep_eight_bit:
                    raise ValueError(f'{record.path}: expected more than 8 bits, got 8-bit levels')
                instances = record.read(width, height)
            except (FileNotFoundError, ValueError) as error:
                skip(report, record, str(error))
                continue
            seen[record.name] = record.path
            if from_raw:
                target = folder / 'images' / record.name
                target.parent.mkdir(parents=True, exist_ok=True)
                np.save(target, image)
            elif record.load is not None:
                target = folder / 'images' / record.name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(cv2.imencode('.png', image)[1].tobytes())
            else:
                link_or_copy(record.path.resolve(), folder / 'images' / record.name)
            if disguised:
                record.fields['eight_bit'] = True
            builder.add_image(record.split, record.name, image, instances, **record.fields)
        if check_depth:
            fate = 'kept, marked eight_bit' if keep_eight_bit else 'left out (see skipped)'
            report.notes.append(f'{eight_bit} of {len(records)} images hold 8-bit levels in a 16-bit file: {fate}')
        _tell_depths(depths, options.depth, report)
        if unsure:
            report.notes.append(
                f'{len(unsure)} images have an EXIF orientation, first {unsure[0]}: they are turned upright '
                f'when they are loaded, and objects have to be those of the upright picture; look at them with '
                f'tools/data/browse.py'
            )
        builder.write(folder)
        if former and (said := keep_split(folder / 'annotations', former)):
            report.notes.append(said)
    return report


def _tell_depths(depths: dict[str, list[Path]], chosen: str | None, report: ConversionReport) -> None:
    if chosen is not None:
        others = {depth: paths for depth, paths in depths.items() if depth != chosen}
        report.notes += [
            f'{len(paths)} images of {in_words(depth)} were left out, as --depth {chosen} asks, the first: {paths[0]}'
            for depth, paths in others.items()
        ]
    elif len(depths) > 1:
        numbers = [f'{len(paths)} of {in_words(depth)}, the first: {paths[0]}' for depth, paths in depths.items()]
        report.notes.append(
            f'the images have different depths: {"; ".join(numbers)}. One tone mapping rarely suits both: --depth '
            f'{max(depths, key=lambda depth: len(depths[depth]))} takes the images of one depth only'
        )


def skip(report: ConversionReport, record: Record, reason: str) -> None:
    """Leave out an image with its objects."""
    report.skipped.append(reason + (f'; {len(record.labels)} objects left out with it' if record.labels else ''))
    for name in record.labels:
        report.read[name] += 1
        report.drop(name, 'its image is left out', record.where)
