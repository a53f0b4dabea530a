"""Mask images beside the images: of instances, or of classes whose connected components are the instances."""

from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from ...images.image_limits import ImageTooLargeError, check_image
from ..builder import Instance
from ..images import files_by_name, find_source_files, name_in_set, note_shared
from ..records import Options, Record, split_of, write_records
from ..report import ConversionReport

MOST_VALUES = 2000  # in one mask; more is an image


def convert_mask_images(
    src: str | Path,
    out: str | Path,
    kind: str,
    values: Mapping[int, str],
    divisor: int = 0,
    min_area: int = 1,
    options: Options | None = None,
) -> ConversionReport:
    """Convert ``images/`` and ``masks/``, whose files have the same names apart from their endings.

    Args:
        src: Folder with ``images/`` and ``masks/``, alike in their folders. Folders named train, val or test make the
            splits. Masks have one channel of 8 or 16 bits or a palette, whose indices count; 0 is background.
        out: Folder to write.
        kind: ``'instance'``: a value is an instance, whose class is ``value // divisor`` (such as 1000), or the only
            one of ``values`` where ``divisor`` is 0. ``'semantic'``: a value is a class, its connected components
            (8 neighbours) are the instances, so that objects that touch each other become one.
        values: Name of each class number; of instances without a divisor, just one.
        divisor: See ``kind``.
        min_area: Pixels that a component of a semantic mask must have; smaller ones are reported and left out.
        options: The user's choices.

    Returns:
        The counts.

    Raises:
        FileNotFoundError: If there are no masks.
        ValueError: If the arguments do not fit each other, or nothing is left to write.

    Example:
        >>> import cv2, numpy as np
        >>> from pathlib import Path
        >>> from mmdet_ir.datasets.converters import convert_mask_images
        >>> Path('src/images').mkdir(parents=True), Path('src/masks').mkdir()
        (None, None)
        >>> picture, mask = np.full((32, 32), 90, np.uint8), np.zeros((32, 32), np.uint8)
        >>> mask[4:12, 6:20] = 1
        >>> cv2.imwrite('src/images/a.png', picture), cv2.imwrite('src/masks/a.png', mask)
        (True, True)
        >>> report = convert_mask_images('src', 'out', 'semantic', {1: 'person'})
        >>> report.written['all']
        Counter({'person': 1})
    """
    if kind not in ('instance', 'semantic'):
        raise ValueError(f"expected masks of kind 'instance' or 'semantic', got {kind!r}")
    if kind == 'instance' and divisor < 1 and len(values) != 1:
        raise ValueError(f'expected a divisor, or a single class for all instances, got {dict(values)}')
    if not values or (0 in values and (kind == 'semantic' or divisor)):
        raise ValueError(f'expected names for class numbers other than 0, got {dict(values)}')
    src, report, records = Path(src), ConversionReport(by_values=True), []
    files = find_source_files(src, report, folder=src / 'masks')
    masks = files_by_name(files, lambda path: path.relative_to(src / 'masks').with_suffix(''))
    if not masks:
        raise FileNotFoundError(f'{src}: expected masks in masks/, found none')
    taken, images = set(), defaultdict(list)
    for image in find_source_files(src, report, folder=src / 'images'):
        stem = image.relative_to(src / 'images').with_suffix('')
        found = masks.get(stem, [])
        taken.add(stem)
        if len(found) != 1:
            report.skipped.append(several_masks(image, found) or f'{image}: no mask {src / "masks" / stem}.png')
            continue
        (mask,) = found
        if mask.suffix.lower() in ('.jpg', '.jpeg'):
            report.skipped.append(f'{mask}: expected a mask without loss, such as PNG; JPEG changes its values')
            continue
        images[mask].append(image)
        read = partial(_read_masks, mask, kind, values, divisor, min_area)
        records.append(Record(image, name_in_set(src, image), split_of(stem.parent.parts), str(mask), [], read))
    note_shared(images, report)
    report.skipped += [
        f'{mask}: no image for this mask' for stem, found in masks.items() if stem not in taken for mask in found
    ]
    return write_records(
        records,
        out,
        f'converted from {kind} masks',
        options or Options(),
        report,
        declared=list(values.values()),
        sources=[src],
    )


def several_masks(image: Path, masks: list[Path]) -> str:
    """Why an image has no mask if several files come into question; empty if they do not."""
    names = ' and '.join(str(mask) for mask in masks)
    return f'{image}: expected one mask, got {len(masks)} of the same name, {names}' if len(masks) > 1 else ''


def read_pixels(path: Path, mode: str | None = None) -> np.ndarray:
    """Pixels of a mask image of one page, upright as images are; ``mode`` is Pillow's, None for that of the file.

    Raises:
        ValueError: If there is no reading the file, or it has several pages; the message names it.
    """
    try:
        several = len(check_image(path, path)) > 1
        with Image.open(path) as image:
            several |= image.format != 'TIFF' and getattr(image, 'is_animated', False)  # (TIFF: reduced copies)
            pixels = None if several else np.asarray(ImageOps.exif_transpose(image.convert(mode) if mode else image))
    except ImageTooLargeError:
        raise
    except (OSError, SyntaxError, ValueError, TypeError, IndexError, Image.DecompressionBombError) as error:
        raise ValueError(f'{path}: not a readable image: {error}') from error
    if pixels is None:
        raise ValueError(f'{path}: expected a mask of one page, got several; write the mask of each image as one page')
    return pixels


def read_mask(path: Path) -> np.ndarray:
    """``[H, W]`` whole numbers of a mask image. Raises ``ValueError`` that names the file."""
    mask = read_pixels(path)
    if mask.ndim != 2 or not (np.issubdtype(mask.dtype, np.integer) or mask.dtype == bool):
        raise ValueError(
            f'{path}: expected a mask of one channel of whole numbers, got {mask.dtype} '
            f'{list(mask.shape)} (colours must be turned into numbers first)'
        )
    return mask.astype(np.int64)


def _read_masks(path, kind, values, divisor, min_area, width: int, height: int) -> list[Instance]:
    mask = read_mask(path)
    if mask.shape != (height, width):
        raise ValueError(f'{path}: expected the height and width of its image, {(height, width)}, got {mask.shape}')
    items, found = [], np.unique(mask[mask != 0]).tolist()
    if len(found) > MOST_VALUES:
        raise ValueError(f'{path}: expected a mask of at most {MOST_VALUES} values, got {len(found)}')
    for value in found:
        number = value // divisor if divisor else value
        name = next(iter(values.values())) if kind == 'instance' and not divisor else values.get(number, f'({number})')
        item = Instance(name, f'{path}, value {value}', mask=mask == value, fields={'source_value': value})
        if kind == 'instance':
            if divisor and value < divisor:
                # Such as Cityscapes' regions without single objects.
                item.name = values.get(value, f'({value})')
                item.fault = 'value below the divisor: a class without an instance number'
            items.append(item)
            continue
        items += components(item.mask, name, item.where, item.fields, min_area)
    return items


def components(mask: np.ndarray, name: str, where: str, fields: dict, min_area: int = 1) -> list[Instance]:
    """Objects of a class: the connected components (8 neighbours) of its pixels.

    Args:
        mask: ``[H, W]`` bool.
        name: Of the class.
        where: For messages.
        fields: Further fields of the annotations.
        min_area: Pixels that an object must have.
    """
    items = []
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    for label in range(1, count):
        x, y, _, _, area = stats[label].tolist()
        part = Instance(name, f'{where}, component at {x}, {y}', mask=labels == label, fields=fields)
        if area < min_area:
            part.fault = f'component under {min_area} pixels'
        items.append(part)
    return items
