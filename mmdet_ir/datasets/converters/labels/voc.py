"""Pascal VOC: one XML file of boxes an image."""

import re
from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from ....fileio import read_lines, read_text
from ...derived_masks import box_corners
from ..boxes_to_coco import envelope
from ..builder import ALL, Instance
from ..class_names import NO_CLASS
from ..images import ImageFinder, files_by_name, find_source_files, name_in_set, resolve_inside
from ..masks import polygons_fault
from ..records import Options, Record, split_of, write_records
from ..report import ConversionReport

_ENCODING = re.compile(rb'\s*<\?xml[^>]*encoding=["\']([A-Za-z0-9._-]+)["\']')
_PLAIN_DOCTYPE = re.compile(r'<!DOCTYPE\s+[\w.-]+\s*>')  # which declares nothing
LIST_FOLDERS, LIST_SPLITS = ('Main', 'Segmentation'), ('train', 'val', 'test')
LISTS = f'ImageSets/{{{",".join(LIST_FOLDERS)}}}/{{{",".join(LIST_SPLITS)}}}.txt'
SHAPES = ('bndbox', 'robndbox', 'polygon')
SINGLE = ('name', 'difficult', 'bndbox', 'robndbox')  # of which an object has one; its polygons are parts of its mask
_POINT = re.compile(r'([xy])([0-9]{1,6})')
CORNERS = ('xmin', 'ymin', 'xmax', 'ymax')


class _NoDoctype(ElementTree.TreeBuilder):
    """Refuses document type declarations, and with them all entities, before anything of them is read.

    The expat of current Pythons stops the expansion of nested entities only at 8 MiB; VOC needs no entities at all.
    """

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError(f'document type declaration <!DOCTYPE {name}>, which VOC does not have')


def convert_voc(src: str | Path, out: str | Path, origin: int = 1, options: Options | None = None) -> ConversionReport:
    """Convert Pascal VOC boxes.

    Of an object with ``polygon`` (``x1``, ``y1``, ``x2``, ...) these are the mask. A ``robndbox`` is a box, and the
    corners of a mask that is derived from it; so is a ``bndbox`` beside CVAT's attribute ``rotation`` (degrees,
    clockwise, about its centre).

    Objects marked ``difficult`` become ignored regions (``iscrowd: 1``), as VOC's evaluation treats them.

    Args:
        src: Folder with ``Annotations/`` and ``JPEGImages/``, alike in their folders, and for splits
            ``ImageSets/Main/{train,val,test}.txt`` (else ``ImageSets/Segmentation/``) with the names of XML files; or
            with XML files at any depth beside their images, where folders named train, val or test make the splits.
        out: Folder to write.
        origin: 1 as in VOC itself: pixels count from 1 and ``xmax`` is the last pixel. 0 as some tools write it:
            coordinates count from 0 and ``xmax`` is the right edge. With 1, points of polygons are middles of pixels.
        options: The user's choices.

    Returns:
        The counts.

    Raises:
        FileNotFoundError: If there is no XML file.
        ValueError: If ``origin`` is neither 0 nor 1, or nothing is left to write.
    """
    if origin not in (0, 1):
        raise ValueError(f'expected an origin of 0 or 1, got {origin}')
    src, report, records = Path(src), ConversionReport(), []
    standard = (src / 'Annotations').is_dir()
    files = find_source_files(src, report, ('.xml',), src / 'Annotations' if standard else src)
    if not files:
        raise FileNotFoundError(f'{src}: expected Annotations/*.xml, or XML files beside their images, found none')
    lists = _read_lists(src, files, report) if standard else {}
    roots = []
    for path in files:
        try:
            roots.append((path, parse_xml(path)))
        except ValueError as error:
            report.skipped.append(str(error))
    finder = ImageFinder(src)
    uses = Counter((path.parent, _file_name(root)) for path, root in roots)
    for path, root in roots:
        name = _file_name(root)
        folder = _image_folder(src, path, name) if standard else path.parent
        split = lists.get(path, ALL) if lists else split_of(path.relative_to(src).parent.parts)
        try:
            image = finder.find(folder, name, f'{path}, filename', path.stem, uses[path.parent, name] > 1)
            records.append(_read_file(src, path, root, image, split, origin))
        except ValueError as error:
            report.skipped.append(str(error))
    finder.report(report, src / 'JPEGImages' if standard else src)
    if lists and any(record.split == ALL for record in records):
        report.notes.append(f'some images are in none of {LISTS}')
    return write_records(records, out, 'converted from Pascal VOC', options or Options(), report, sources=[src])


def parse_xml(path: Path) -> ElementTree.Element:
    """The ``annotation`` of an XML file without entities; the names of its elements are in lower case.

    Raises:
        ValueError: If there is no reading the file, or it has several annotations; the message names it.
    """
    root = _parse(path)
    for element in root.iter():  # (a name with a namespace is "{address}name")
        element.tag = element.tag.rpartition('}')[2].lower()
    found = [root] if root.tag == 'annotation' else list(root.iter('annotation'))
    if len(found) > 1:
        raise ValueError(f'{path}: expected one annotation, got {len(found)}; VOC has a file for each image')
    if not found and not list(root.iter('object')):
        raise ValueError(f'{path}: expected an annotation as VOC has it, got <{root.tag}>')
    return found[0] if found else root


def read_objects(root: ElementTree.Element, path: Path, origin: int) -> list[Instance]:
    """The objects of an annotation, in whatever element they are; ``origin`` as in :func:`convert_voc`.

    Raises:
        ValueError: If a shape is in no object; the message names the file.
    """
    elements = list(root.iter('object'))
    inside = {child for element in elements for child in element.iter()}
    lost = [child.tag for child in root.iter() if child.tag in SHAPES and child not in inside]
    if lost:
        raise ValueError(f'{path}: expected every bndbox, robndbox and polygon in an object, got a {lost[0]} outside')
    return [read_object(element, f'{path}, object {i}', origin) for i, element in enumerate(elements)]


def _parse(path: Path) -> ElementTree.Element:
    try:
        parser = ElementTree.XMLParser(target=_NoDoctype())
        parser.feed(_PLAIN_DOCTYPE.sub('', _read_xml(path).lstrip(), count=1))
        return parser.close()
    except (ElementTree.ParseError, LookupError) as error:
        raise ValueError(f'{path}: not a readable XML file: {error}') from error
    except ValueError as error:
        known = str(error).startswith(str(path))
        raise error if known else ValueError(f'{path}: not a readable XML file: {error}') from error


def _read_xml(path: Path) -> str:
    """Text of an XML file in the encoding that it declares; expat itself knows few of them."""
    with path.open('rb') as file:
        declared = _ENCODING.match(file.read(200))
    if not declared or declared[1].lower() in (b'utf-8', b'utf8', b'utf-16', b'utf16'):
        return read_text(path)
    try:
        return path.read_bytes().decode(declared[1].decode('ascii'))
    except UnicodeDecodeError as error:
        raise ValueError(f'the text is not in the encoding that it declares: {error}') from error


def _file_name(root: ElementTree.Element) -> str:
    return (root.findtext('filename') or '').strip()


def _image_folder(src: Path, path: Path, name: str) -> Path:
    """What the name of an image is relative to: the folder that is the XML file's twin, if there is one."""
    images = src / 'JPEGImages'
    twin = images / path.relative_to(src / 'Annotations').parent
    if not twin.is_dir():
        return images
    try:  # (a name that holds the folder is relative to JPEGImages)
        with_folder = len(PurePosixPath(name).parts) > 1 and resolve_inside(src, images, name, str(path)).is_file()
    except ValueError:
        with_folder = False
    return images if with_folder else twin


def _read_lists(src: Path, files: list[Path], report: ConversionReport) -> dict[Path, str]:
    """Split of each XML file, from the first folder of lists that is there."""
    splits, known = {}, files_by_name(files, lambda path: path.stem)
    known |= {path.relative_to(src / 'Annotations').with_suffix('').as_posix(): [path] for path in files}
    folders = [src / 'ImageSets' / name for name in LIST_FOLDERS]
    paths = [[folder / f'{split}.txt' for split in LIST_SPLITS] for folder in folders]
    for path in next((of_folder for of_folder in paths if any(path.is_file() for path in of_folder)), []):
        for line in read_lines(path) if path.is_file() else []:
            line, split = line.strip(), path.stem
            # (A name, a name with a file's ending, or a name and a flag, as the lists of single classes have it.)
            spellings = (line, line.rpartition('.')[0], Path(line).stem, *line.split()[:1])
            name = next((spelling for spelling in spellings if spelling in known), None)
            found = known.get(name, [])
            if line and len(found) != 1:
                what = f'{len(found)} XML files in different folders' if found else 'no XML file'
                report.skipped.append(f'{path}: {line} has {what}')
            elif line and splits.setdefault(found[0], split) != split:
                report.skipped.append(f'{path}: {name} is in {splits[found[0]]} already, and stays there')
    return splits


def _read_file(src: Path, path: Path, root: ElementTree.Element, image: Path, split: str, origin: int) -> Record:
    size = []
    for side in ('width', 'height'):
        try:
            length = float(root.findtext(f'size/{side}') or 0)
            size.append(int(length) if length.is_integer() else length)
        except ValueError as error:
            raise ValueError(f'{path}: expected whole numbers in size/width and size/height') from error
    items = read_objects(root, path, origin)
    return Record(
        image,
        name_in_set(src, image),
        split,
        str(path),
        [item.name for item in items],
        partial(_all_of, items),
        tuple(size) if all(size) and -1 not in size else None,  # where the tool did not know
    )


def _all_of(items: list[Instance], width: int, height: int) -> list[Instance]:
    return items


def read_object(element: ElementTree.Element, where: str, origin: int) -> Instance:
    """An object of an XML file.

    Args:
        element: The object.
        where: File and entry, for messages.
        origin: See :func:`convert_voc`.
    """
    item = Instance((element.findtext('name') or '').strip() or NO_CLASS, f'{where} (from 0)')
    item.read_flag('difficult', element.findtext('difficult'))
    twice = [name for name in SINGLE if len(element.findall(name)) > 1]
    if item.name == NO_CLASS:
        item.fault = 'object without a name'
    elif twice:
        item.fault = f'object with more than one {twice[0]}'
    elif item.fault:
        return item
    elif element.find('polygon') is not None:
        item.mask, item.fault = _read_polygons(element.findall('polygon'), origin)
    elif element.find('bndbox') is None and element.find('robndbox') is not None:
        _read_turned_box(item, element, origin)
    else:
        _read_box(item, element, origin)
    return item


def _numbers(element: ElementTree.Element, names: Iterable[str]) -> list[float] | None:
    """The numbers in children of these names, or None if one of them is no number."""
    try:
        return [float(element.findtext(name) or '') for name in names]
    except ValueError:
        return None


def _read_box(item: Instance, element: ElementTree.Element, origin: int) -> None:
    corners = _numbers(element, (f'bndbox/{corner}' for corner in CORNERS))
    if corners is None:
        item.fault = 'bndbox without four numbers'
        return
    x0, y0, x1, y1 = corners
    item.box = [x0 - origin, y0 - origin, x1 - x0 + origin, y1 - y0 + origin]
    item.turn(_attribute(element, 'rotation'))


def _attribute(element: ElementTree.Element, name: str) -> str | None:
    """The value of one of CVAT's attributes, or None if the object does not have it."""
    values = {
        (a.findtext('name') or '').strip(): a.findtext('value') for a in element.iterfind('attributes/attribute')
    }
    return values.get(name)


def _read_turned_box(item: Instance, element: ElementTree.Element, origin: int) -> None:
    values = _numbers(element, (f'robndbox/{name}' for name in ('cx', 'cy', 'w', 'h', 'angle')))
    if values is None:
        item.fault = 'robndbox without five numbers'
        return
    x, y, w, h, angle = values  # pixels, radians
    item.corners = box_corners(x - origin / 2, y - origin / 2, w, h, angle)
    item.box = envelope(item.corners)


def _read_polygons(elements: list[ElementTree.Element], origin: int) -> tuple[list[list[float]] | None, str]:
    """The polygons ``x1, y1, x2, y2, ...`` (or from ``x0`` on) that make up a mask, and what is wrong with them."""
    polygons = []
    for element in elements:
        found = [match for match in (_POINT.fullmatch(child.tag) for child in element) if match]
        points = sorted({int(match[2]) for match in found})
        named = [f'{axis}{i}' for i in range(points[0], points[0] + len(points)) for axis in 'xy'] if points else []
        if sorted(named) != sorted(match[0] for match in found) or (points and points[0] > 1):
            return None, 'polygon whose points are not x1, y1, x2, y2, ... without a gap, each once'
        values = _numbers(element, named)
        polygons.append([v - origin / 2 for v in values] if values else [])
    fault = polygons_fault(polygons)
    return (None, fault) if fault else (polygons, '')
