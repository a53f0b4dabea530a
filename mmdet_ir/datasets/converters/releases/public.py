"""Public infrared data by name: where each release keeps images and labels, its classes and its terms.

Each entry only says what is special about a release; objects come from the converters of masks and of VOC boxes.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from ....fileio import read_lines
from ...images.files import find_files, find_images
from ...images.image_limits import check_image
from ...images.infrared_io import read_infrared
from ..boxes_to_coco import envelope
from ..builder import ALL, Instance
from ..images import files_by_name, find_source_files
from ..labels.mask_images import components, read_mask, read_pixels, several_masks
from ..labels.voc import parse_xml, read_objects
from ..records import Options, Record, write_records
from ..report import ConversionReport

# (the labels of MFNet, which MSRS has as well)
_STREET = ('car', 'person', 'bike', 'curve', 'car stop', 'guardrail', 'color cone', 'bump')
# (of MassMIND by their numbers; sky 0, water 1, background 5 and the own boat 6 are no targets)
_SEA = {2: 'bridge', 3: 'obstacle', 4: 'living obstacle'}
_SEMANTIC, _INSTANCE = '_label_ground-truth_semantic', '_label_ground-truth_instance'
_CAVE = ('fire-extinguisher', 'backpack', 'hand-drill', 'survivor')
_VEHICLES = {'feright car': 'freight car', 'feright_car': 'freight car', 'feright': 'freight car', 'truvk': 'truck'}
_BORDER = 100  # white pixels around each image of DroneVehicle


@dataclass(frozen=True)
class Release:
    """A release of data.

    Attributes:
        title: Its name.
        layout: What the folder holds.
        terms: Name of the licence, or what its authors say, and where.
        records: From the folder and the report to the images with their objects.
        classes: In the order of their numbers.
        derive: Whether its boxes get derived masks.
        bits: Whether it has images of 8 and of 16 bits.
        components: Whether its objects are connected components of a class.
    """

    title: str
    layout: str
    terms: tuple[str, str]
    records: Callable[[Path, ConversionReport, int], Iterator[Record]]
    classes: tuple[str, ...]
    derive: bool = False
    bits: bool = False
    components: bool = False


def convert_release(
    name: str, src: str | Path, out: str | Path, bits: int = 8, options: Options | None = None
) -> ConversionReport:
    """Converts a public data set.

    Args:
        name: A key of :data:`RELEASES`.
        src: Folder of the release.
        out: Folder to write.
        bits: 16 takes the counts, where the release has them.
        options: The user's choices.

    Returns:
        The counts; a note tells the terms of the release.

    Raises:
        FileNotFoundError: If the folder is none of this release.
        ValueError: If the release has no counts, or nothing is left to write.

    Example:
        >>> import cv2, numpy as np
        >>> from pathlib import Path
        >>> from mmdet_ir.datasets.converters import convert_release
        >>> picture, mask = np.full((32, 32), 90, np.uint8), np.zeros((32, 32), np.uint8)
        >>> mask[4:8, 6:9] = 255
        >>> for folder, pixels in (('images', picture), ('masks', mask)):
        ...     Path('sirst', folder).mkdir(parents=True)
        ...     written = cv2.imwrite(f'sirst/{folder}/Misc_1.png', pixels)
        >>> convert_release('sirst', 'sirst', 'small_targets').written['all']
        Counter({'target': 1})
    """
    release, src, report = RELEASES[name], Path(src), ConversionReport()
    if bits != 8 and not release.bits:
        raise ValueError(f'--bits {bits}: expected 8, because {release.title} has no images of more bits')
    records = list(release.records(src, report, bits))
    if not records:
        raise FileNotFoundError(f'{src}: expected {release.title}, which is {release.layout}; found no image of it')
    options = options or Options()
    if release.derive:
        options = replace(options, derive_masks=True)
    if release.components:
        report.notes.append('objects are connected components: objects of a class that touch each other became one')
    report.notes.append(f'terms of {release.title}: {release.terms[0]} ({release.terms[1]})')
    return write_records(
        records,
        out,
        f'{release.title}, converted',
        options,
        report,
        declared=release.classes,
        licence=release.terms,
        sources=[src],
    )


def _listed(src: Path, names: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Split of each image, by the stem of its name, from text files that list them; of several, the first counts."""
    found = {}
    for pattern, split in names:
        for path in sorted(src.glob(pattern)):
            for line in read_lines(path):
                if line.strip():
                    found.setdefault(Path(line.strip()).stem, split)
    return found


def _mask_record(image: Path, mask: Path, split: str, name: str, read: Callable[[int, int], list]) -> Record:
    return Record(image, name, split, str(mask), [], read)


def _binary(path: Path, width: int, height: int) -> list[Instance]:
    """Targets in a mask of black and white, of one channel or three."""
    mask = read_pixels(path, 'L') > 127
    _check_size(path, mask, width, height)
    return components(mask, 'target', str(path), {'source_value': 255})


def _semantic(path: Path, classes: tuple[str, ...], width: int, height: int) -> list[Instance]:
    mask = read_mask(path)
    _check_size(path, mask, width, height)
    items = []
    for value in np.unique(mask[mask != 0]).tolist():
        name = classes[value - 1] if value <= len(classes) else f'({value})'
        items += components(mask == value, name, f'{path}, value {value}', {'source_value': value})
    return items


def _check_size(path: Path, mask: np.ndarray, width: int, height: int) -> None:
    if mask.shape != (height, width):
        raise ValueError(f'{path}: expected the height and width of its image, {(height, width)}, got {mask.shape}')


def _small_targets(src: Path, report: ConversionReport, bits: int) -> Iterator[Record]:
    folders = (('IRSTD1k_Img', 'IRSTD1k_Label'), ('images', 'masks'), ('PNGImages', 'SIRST/BinaryMask'))
    images, labels = next(((src / i, src / m) for i, m in folders if (src / m).is_dir()), (src / 'x', src / 'x'))
    masks = files_by_name(find_images(labels), lambda path: path.stem.removesuffix('_pixels0'))
    # (train comes last, because its pattern matches trainval.txt and trainvaltest.txt, too)
    listed = _listed(
        src,
        [(f'{folder}{name}*.txt', split) for folder in ('', 'img_idx/', 'splits/', 'Splits/', 'idx_427/')
         for name, split in (('val', 'val'), ('test', 'val'), ('train', 'train'))],
    )  # fmt: skip
    for path in find_images(images):
        found = masks.get(path.stem, [])
        if len(found) != 1:
            report.skipped.append(several_masks(path, found) or f'{path}: no mask {labels / path.stem}.png')
            continue
        (mask,) = found
        yield _mask_record(path, mask, listed.get(path.stem, ALL), path.name, partial(_binary, mask))


def _llvip(src: Path, report: ConversionReport, bits: int) -> Iterator[Record]:
    for path in find_images(src / 'infrared'):
        label = src / 'Annotations' / f'{path.stem}.xml'
        split = 'train' if path.parent.name == 'train' else 'val'
        items = _objects(label, report, {})
        if items is not None:
            names = [item.name for item in items]
            yield Record(path, f'{split}/{path.name}', split, str(label), names, lambda w, h, items=items: items)


def _objects(label: Path, report: ConversionReport, names: dict[str, str]) -> list[Instance] | None:
    if not label.is_file():
        report.skipped.append(f'{label}: no such file, so its image is left out')
        return None
    try:
        items = read_objects(parse_xml(label), label, 0)
    except ValueError as error:
        report.skipped.append(str(error))
        return None
    for item in items:
        item.name = names.get(item.name.lower(), item.name)
    return items


def _mfnet(src: Path, report: ConversionReport, bits: int) -> Iterator[Record]:
    """Its images are PNG files of four channels, of which the last is the thermal one."""
    listed = _listed(src, [('train.txt', 'train'), ('val.txt', 'val'), ('test.txt', 'test')])
    for path in find_images(src / 'images'):
        mask = src / 'labels' / f'{path.stem}.png'
        if not mask.is_file():
            report.skipped.append(f'{path}: no mask {mask}')
            continue
        record = _mask_record(
            path, mask, listed.get(path.stem, ALL), f'{path.stem}.png', partial(_semantic, mask, _STREET)
        )
        record.load = partial(_fourth_channel, path)
        yield record


def _fourth_channel(path: Path) -> np.ndarray:
    check_image(path, path)
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None or image.ndim != 3 or image.shape[2] != 4:
        raise ValueError(f'{path}: expected four channels (colours and thermal), got another image')
    return np.ascontiguousarray(image[..., 3])


def _pairs(
    parts: dict[str, str], images: tuple[str, str], labels: str, classes: tuple[str, ...]
) -> Callable[[Path, ConversionReport, int], Iterator[Record]]:
    """Images and masks of equal names in the folders of each part; another folder for 16 bits."""

    def records(src: Path, report: ConversionReport, bits: int) -> Iterator[Record]:
        for part, split in parts.items():
            for path in find_images(src / part / images[bits == 16]) if (src / part).is_dir() else ():
                mask = src / part / labels / f'{path.stem}.png'
                if not mask.is_file():
                    report.skipped.append(f'{path}: no mask {mask}')
                    continue
                yield _mask_record(path, mask, split, f'{part}/{path.name}', partial(_semantic, mask, classes))

    return records


def _massmind(src: Path, report: ConversionReport, bits: int) -> Iterator[Record]:
    """Images, masks of classes and masks of instances, each a folder or all in one; told apart by their names."""
    files = files_by_name(find_source_files(src, report), lambda path: path.stem)
    for stem, (path, *others) in files.items():
        if '_label_' in stem:
            continue
        semantic, instance = (files.get(f'{stem}{ending}', []) for ending in (_SEMANTIC, _INSTANCE))
        if others or len(semantic) > 1 or len(instance) > 1:
            names = [str(file) for found in (files[stem], semantic, instance) for file in found if len(found) > 1]
            report.skipped.append(f'{path}: expected one file of each name, got {" and ".join(names)}')
            continue
        if not semantic or not instance:
            missing = ' and '.join(
                f'{stem}{ending}.png' for ending in (_SEMANTIC, _INSTANCE) if f'{stem}{ending}' not in files
            )
            report.skipped.append(f'{path}: no mask {missing}')
            continue
        yield _mask_record(path, semantic[0], ALL, path.name, partial(_sea_objects, *semantic, *instance))


def _sea_objects(semantic: Path, instance: Path, width: int, height: int) -> list[Instance]:
    """An object for each number of the instances in the pixels of each class."""
    classes, numbers = read_mask(semantic), read_mask(instance)
    for path, mask in ((semantic, classes), (instance, numbers)):
        _check_size(path, mask, width, height)
    if unknown := set(np.unique(classes).tolist()) - set(range(7)):
        raise ValueError(f'{semantic}: expected the classes 0 to 6, got {sorted(unknown)}')
    items = []
    for value, name in _SEA.items():
        for number in np.unique(numbers[classes == value]).tolist():
            mask = (classes == value) & (numbers == number)
            items.append(Instance(name, f'{instance}, value {number}', mask=mask, fields={'source_value': number}))
    return items


def _drone_vehicle(src: Path, report: ConversionReport, bits: int) -> Iterator[Record]:
    for part in ('train', 'val', 'test'):
        folder = src / part / f'{part}labelr'
        for label in find_files(folder, ('.xml',)) if folder.is_dir() else ():
            image = src / part / f'{part}imgr' / f'{label.stem}.jpg'
            items = _objects(label, report, _VEHICLES)
            if items is None:
                continue
            record = Record(
                image, f'{part}/{image.stem}.png', part, str(label), [i.name for i in items], partial(_turned, items)
            )
            record.load = partial(_without_border, image)
            yield record


def _without_border(path: Path) -> np.ndarray:
    image = read_infrared(path)
    image = image if image.ndim == 2 else image[..., 0]
    if min(image.shape) <= 2 * _BORDER:
        raise ValueError(f'{path}: expected a border of {_BORDER} pixels around the image, got {image.shape}')
    return np.ascontiguousarray(image[_BORDER:-_BORDER, _BORDER:-_BORDER])


def _turned(items: list[Instance], width: int, height: int) -> list[Instance]:
    """Boxes in the image without its border; the polygons of the release are turned boxes, not masks."""
    for item in items:
        item.fills_box = True
        if item.mask is not None and len(item.mask) > 1:
            item.fault = 'object with more than one polygon'
        elif item.mask is not None:
            item.corners = np.reshape(item.mask[0], (-1, 2)) - _BORDER
            item.box, item.mask = envelope(item.corners), None
        elif isinstance(item.box, list):
            item.box = [item.box[0] - _BORDER, item.box[1] - _BORDER, *item.box[2:]]
            item.corners = None if item.corners is None else item.corners - _BORDER
    return items


_ASK = 'not known here, read those of the authors'
_NONE = 'the release states no licence, ask the authors; to be cited'
RELEASES = {
    'irstd-1k': Release(
        'IRSTD-1k',
        'IRSTD1k_Img/ and IRSTD1k_Label/, or images/ and masks/',
        ('MIT License of the repository that releases it', 'https://github.com/RuiZhang97/ISNet'),
        _small_targets,
        ('target',),
        components=True,
    ),
    'sirst': Release(
        'SIRST (also NUDT-SIRST)',
        'images/ and masks/, with lists of names in *.txt or img_idx/*.txt',
        (_NONE, 'https://github.com/YimianDai/sirst'),
        _small_targets,
        ('target',),
        components=True,
    ),
    'llvip': Release(
        'LLVIP',
        'infrared/{train,test}/ and Annotations/*.xml',
        ('non-commercial, own terms of use', 'https://bupt-ai-cz.github.io/LLVIP/'),
        _llvip,
        ('person',),
    ),
    'mfnet': Release(
        'MFNet',
        'images/ (PNG of four channels), labels/ and {train,val,test}.txt',
        (_ASK, 'https://www.mi.t.u-tokyo.ac.jp/static/projects/mil_multispectral/'),
        _mfnet,
        _STREET,
        components=True,
    ),
    'msrs': Release(
        'MSRS',
        '{train,test}/ir/ and {train,test}/Segmentation_labels/',
        (_NONE, 'https://github.com/Linfeng-Tang/MSRS'),
        _pairs({'train': 'train', 'test': 'val'}, ('ir', 'ir'), 'Segmentation_labels', _STREET),
        _STREET,
        components=True,
    ),
    'massmind': Release(
        'MassMIND',
        f'images NAME.png, and NAME{_SEMANTIC}.png and NAME{_INSTANCE}.png of each, in any folders',
        ('CC BY-NC-SA 4.0', 'https://github.com/uml-marine-robotics/MassMIND'),
        _massmind,
        tuple(_SEA.values()),
    ),
    'pst900': Release(
        'PST900',
        '{train,test}/thermal/ or thermal_raw/, and {train,test}/labels/',
        (_NONE, 'https://github.com/ShreyasSkandanS/pst900_thermal_rgb'),
        _pairs({'train': 'train', 'test': 'val'}, ('thermal', 'thermal_raw'), 'labels', _CAVE),
        _CAVE,
        bits=True,
        components=True,
    ),
    'drone-vehicle': Release(
        'DroneVehicle',
        '{train,val,test}/{train,val,test}imgr/ and .../{train,val,test}labelr/',
        (_NONE, 'https://github.com/VisDrone/DroneVehicle'),
        _drone_vehicle,
        ('car', 'truck', 'bus', 'van', 'freight car'),
        derive=True,
    ),
}
