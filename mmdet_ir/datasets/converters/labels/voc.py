"""Pascal VOC: one XML file of boxes an image."""

import re
from collections import Counter
from collections.abc import Iterable
from functools import partial
from itertools import count, takewhile
from pathlib import Path
from xml.etree import ElementTree

from ....fileio import read_lines, read_text
from ...derived_masks import box_corners
from ...images.files import find_files
from ..builder import ALL, Instance
from ..class_names import NO_CLASS
from ..images import ImageFinder, name_in_set
from ..masks import polygons_fault
from ..records import Options, Record, split_of, write_records
from ..report import ConversionReport

_ENCODING = re.compile(rb'\s*<\?xml[^>]*encoding=["\']([A-Za-z0-9._-]+)["\']')
_PLAIN_DOCTYPE = re.compile(r'<!DOCTYPE\s+[\w.-]+\s*>')  # which declares nothing
LIST_SPLITS = ('train', 'val', 'test')
CORNERS = ('xmin', 'ymin', 'xmax', 'ymax')


class _NoDoctype(ElementTree.TreeBuilder):
    """Refuses document type declarations, and with them all entities, before anything of them is read.

    The expat of current Pythons stops the expansion of nested entities only at 8 MiB; VOC needs no entities at all.
    """

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError(f'document type declaration <!DOCTYPE {name}>, which VOC does not have')


def convert_voc(src: str | Path, out: str | Path, origin: int = 1, options: Options | None = None) -> ConversionReport:
    """Convert Pascal VOC boxes.

    Of an object with a ``polygon`` (``x1``, ``y1``, ``x2``, ...) that is the mask. A ``robndbox`` is a box, and the
    corners of a mask that is derived from it.

    Objects marked ``difficult`` become ignored regions (``iscrowd: 1``), as VOC's evaluation treats them.

    Args:
        src: Folder with ``Annotations/*.xml`` and ``JPEGImages/``, and for splits
            ``ImageSets/Main/{train,val,test}.txt`` with the names of XML files; or with XML files at any depth beside
            their images, where folders named train, val or test make the splits.
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
    files = find_files(src / 'Annotations' if standard else src, ('.xml',))
    if not files:
        raise FileNotFoundError(f'{src}: expected Annotations/*.xml, or XML files beside their images, found none')
    lists = _read_lists(src / 'ImageSets' / 'Main', files, report) if standard else {}
    roots = []
    for path in files:
        try:
            roots.append((path, parse_xml(path)))
        except ValueError as error:
            report.skipped.append(str(error))
    finder = ImageFinder(src)
    uses = Counter((path.parent, _file_name(root)) for path, root in roots)
    for path, root in roots:
        folder = src / 'JPEGImages' if standard else path.parent
        name = _file_name(root)
        split = lists.get(path.stem, ALL) if lists else split_of(path.relative_to(src).parent.parts)
        try:
            image = finder.find(folder, name, f'{path}, filename', path.stem, uses[path.parent, name] > 1)
            records.append(_read_file(src, path, root, image, split, origin))
        except ValueError as error:
            report.skipped.append(str(error))
    finder.report(report)
    if lists and any(record.split == ALL for record in records):
        report.notes.append('some images are in none of ImageSets/Main/{train,val,test}.txt')
    return write_records(records, out, 'converted from Pascal VOC', options or Options(), report, sources=[src])


def parse_xml(path: Path) -> ElementTree.Element:
    """Root of an XML file without entities. Raises ``ValueError`` that names the file."""
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


def _read_lists(folder: Path, files: list[Path], report: ConversionReport) -> dict[str, str]:
    """Split of each XML file, from the lists that are there."""
    splits, stems = {}, {path.stem for path in files}
    for split in LIST_SPLITS:
        path = folder / f'{split}.txt'
        for line in read_lines(path) if path.is_file() else []:
            line = line.strip()
            # (A name, a name with a file's ending, or a name and a flag, as the lists of single classes have it.)
            spellings = (line, Path(line).stem, *line.split()[:1])
            name = next((spelling for spelling in spellings if spelling in stems), None)
            if line and name is None:
                report.skipped.append(f'{path}: {line} has no XML file')
            elif line and splits.setdefault(name, split) != split:
                report.skipped.append(f'{path}: {name} is in {splits[name]} already, and stays there')
    return splits


def _read_file(src: Path, path: Path, root: ElementTree.Element, image: Path, split: str, origin: int) -> Record:
    size = []
    for side in ('width', 'height'):
        try:
            length = float(root.findtext(f'size/{side}') or 0)
            size.append(int(length) if length.is_integer() else length)
        except ValueError as error:
            raise ValueError(f'{path}: expected whole numbers in size/width and size/height') from error
    items = [read_object(element, f'{path}, object {i}', origin) for i, element in enumerate(root.findall('object'))]
    return Record(
        image,
        name_in_set(src, image),
        split,
        str(path),
        [item.name for item in items],
        partial(_all_of, items),
        tuple(size) if all(size) else None,  # 0 where the tool did not know
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
    item.ignore = (element.findtext('difficult') or '').strip() == '1'
    if item.name == NO_CLASS:
        item.fault = 'object without a name'
    elif element.find('polygon') is not None:
        item.mask, item.fault = _read_polygon(element.find('polygon'), origin)
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


def _read_turned_box(item: Instance, element: ElementTree.Element, origin: int) -> None:
    values = _numbers(element, (f'robndbox/{name}' for name in ('cx', 'cy', 'w', 'h', 'angle')))
    if values is None:
        item.fault = 'robndbox without five numbers'
        return
    x, y, w, h, angle = values  # pixels, radians
    item.corners = box_corners(x - origin / 2, y - origin / 2, w, h, angle)
    low, high = item.corners.min(axis=0), item.corners.max(axis=0)
    item.box = [*low.tolist(), *(high - low).tolist()]


def _read_polygon(element: ElementTree.Element, origin: int) -> tuple[list[list[float]] | None, str]:
    """The polygon ``x1, y1, x2, y2, ...`` and what is wrong with it."""
    points = takewhile(lambda i: element.find(f'x{i}') is not None, count(1))
    values = _numbers(element, [f'{axis}{i}' for i in points for axis in 'xy'])
    polygon = [[v - origin / 2 for v in values]] if values else [[]]
    fault = polygons_fault(polygon)
    return (None, fault) if fault else (polygon, '')
