"""Pascal VOC: one XML file of boxes an image."""

from functools import partial
from pathlib import Path
from xml.etree import ElementTree

from ...images.files import find_files
from ..images import name_in_set, resolve_inside
from ..records import ALL, Instance, Options, Record, split_of, write_records
from ..report import ConversionReport

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

    Objects marked ``difficult`` become ignored regions (``iscrowd: 1``), as VOC's evaluation treats them.

    Args:
        src: Folder with ``Annotations/*.xml`` and ``JPEGImages/``, and for splits
            ``ImageSets/Main/{train,val,test}.txt`` with the names of XML files; or with XML files at any depth beside
            their images, where folders named train, val or test make the splits.
        out: Folder to write.
        origin: 1 as in VOC itself: pixels count from 1 and ``xmax`` is the last pixel. 0 as some tools write it:
            coordinates count from 0 and ``xmax`` is the right edge.
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
    for path in files:
        split = lists.get(path.stem, ALL) if lists else split_of(path.relative_to(src).parent.parts)
        try:
            records.append(_read_file(src, path, src / 'JPEGImages' if standard else path.parent, split, origin))
        except ValueError as error:
            report.skipped.append(str(error))
    if lists and any(record.split == ALL for record in records):
        report.notes.append('some images are in none of ImageSets/Main/{train,val,test}.txt')
    return write_records(records, out, 'converted from Pascal VOC', options or Options(), report)


def parse_xml(path: Path) -> ElementTree.Element:
    """Root of an XML file without entities. Raises ``ValueError`` that names the file."""
    try:
        return ElementTree.parse(path, ElementTree.XMLParser(target=_NoDoctype())).getroot()
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise ValueError(f'{path}: not a readable XML file: {error}') from error


def _read_lists(folder: Path, files: list[Path], report: ConversionReport) -> dict[str, str]:
    """Split of each XML file, from the lists that are there."""
    splits, stems = {}, {path.stem for path in files}
    for split in LIST_SPLITS:
        path = folder / f'{split}.txt'
        for line in path.read_text(encoding='utf-8').split('\n') if path.is_file() else []:
            name = line.split()[0] if line.strip() else ''
            if name and name not in stems:
                report.skipped.append(f'{path}: {name} has no XML file')
            elif name and splits.setdefault(name, split) != split:
                report.skipped.append(f'{path}: {name} is in {splits[name]} already, and stays there')
    return splits


def _read_file(src: Path, path: Path, folder: Path, split: str, origin: int) -> Record:
    root = parse_xml(path)
    image = resolve_inside(src, folder, (root.findtext('filename') or '').strip(), f'{path}, filename')
    try:
        size = tuple(int(root.findtext(f'size/{side}') or 0) for side in ('width', 'height'))
    except ValueError as error:
        raise ValueError(f'{path}: expected whole numbers in size/width and size/height') from error
    items = [_read_object(element, f'{path}, object {i}', origin) for i, element in enumerate(root.findall('object'))]
    return Record(
        image,
        name_in_set(src, image),
        split,
        str(path),
        [item.name for item in items],
        partial(_all_of, items),
        size if all(size) else None,  # 0 where the tool did not know
    )


def _all_of(items: list[Instance], width: int, height: int) -> list[Instance]:
    return items


def _read_object(element: ElementTree.Element, where: str, origin: int) -> Instance:
    item = Instance((element.findtext('name') or '').strip() or '(no name)', f'{where} (from 0)')
    item.ignore = (element.findtext('difficult') or '').strip() == '1'
    try:
        x0, y0, x1, y1 = (float(element.findtext(f'bndbox/{corner}') or '') for corner in CORNERS)
    except ValueError:
        item.fault = 'bndbox without four numbers'
        return item
    item.box = [x0 - origin, y0 - origin, x1 - x0 + origin, y1 - y0 + origin]
    return item
