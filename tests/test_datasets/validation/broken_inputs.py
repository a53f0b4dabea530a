#!/usr/bin/env python
"""Broken inputs, and what is to become of each: cases of ``test_validation.py``, rows of ``docs/guide/validation.md``.

``python tests/test_datasets/validation/broken_inputs.py`` writes the table anew.
"""

import copy
import io
import json
import re
import struct
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mmdet_ir  # noqa: F401  (first: mmdet cannot be imported without it)
from mmdet_ir.datasets.coco_files import CLASSES, class_categories
from mmdet_ir.datasets.validation.annotations import Needs
from mmdet_ir.datasets.validation.data_sets import DataSet
from mmdet_ir.datasets.validation.report import Checked, check_data_set

import cv2
import numpy as np
from PIL import Image, TiffImagePlugin

DOC = Path(__file__).parents[3] / 'docs' / 'guide' / 'validation.md'
BEGIN, END = '<!-- broken inputs: begin -->', '<!-- broken inputs: end -->'
WIDTH, HEIGHT = 64, 48
NAN, INF = float('nan'), float('inf')

REFUSED, UNREADABLE, SAID, TRAINS = (
    'refused at the start',
    'refused when the image is loaded',
    'trains; the log names what is left out',
    'trains',
)


@dataclass(frozen=True)
class Case:
    """One broken input.

    Attributes:
        name: In words.
        code: Of the problem that has to be found.
        change: Called with the folder and the sound COCO dictionary; changes either, may return the text of the file.
        training: What ``IRDataset`` does.
        targets: Targets that it yields over all images if it trains; the sound set has 4.
        poly2mask: Of ``LoadAnnotations``.
    """

    name: str
    code: str
    change: Callable[[Path, dict], str | bytes | None]
    training: str = REFUSED
    targets: int = 4
    poly2mask: bool | None = None


def picture(number: int) -> np.ndarray:
    """uint8 ``[48, 64]``; each number another one, none like another."""
    small = np.random.default_rng(number).integers(30, 220, (12, 16), np.uint8)
    return cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def write_sound_set(root: Path) -> dict:
    """Four images, one target of each class; returns the COCO dictionary, which is not written yet."""
    (root / 'images').mkdir(parents=True)
    images, annotations = [], []
    for i, name in enumerate('abcd', start=1):
        cv2.imwrite(str(root / 'images' / f'{name}.png'), picture(i))
        images.append({'id': 10 + i, 'file_name': f'{name}.png', 'width': WIDTH, 'height': HEIGHT})
        x, y, w, h = 9 + i, 10, 20, 30 + i
        annotations.append(
            {
                'id': i,
                'image_id': 10 + i,
                'category_id': i,
                'bbox': [x, y, w, h],
                'area': w * h,
                'iscrowd': 0,
                'segmentation': [[x, y, x + w, y, x + w, y + h, x, y + h]],
            }
        )
    return {'images': images, 'annotations': annotations, 'categories': class_categories()}


def put(section: str, index: int = 0, **values: object) -> Callable[[Path, dict], None]:
    """Set fields of an entry."""
    return lambda root, coco: coco[section][index].update(copy.deepcopy(values))


def drop(section: str, key: str, index: int = 0) -> Callable[[Path, dict], None]:
    """Delete a field of an entry."""
    return lambda root, coco: coco[section][index].__delitem__(key) and None


def add(section: str, index: int = 0, **values: object) -> Callable[[Path, dict], None]:
    """Append a copy of an entry with other values."""
    return lambda root, coco: coco[section].append(copy.deepcopy(coco[section][index]) | values)


def every(change: Callable[[dict], dict], section: str = 'annotations') -> Callable[[Path, dict], None]:
    """Update all entries of a section."""
    return lambda root, coco: [entry.update(change(entry)) for entry in coco[section]] and None


def replace(**sections: object) -> Callable[[Path, dict], None]:
    return lambda root, coco: coco.update(sections)


def text(content: str | bytes) -> Callable[[Path, dict], str | bytes]:
    return lambda root, coco: content


def file(content: bytes | np.ndarray, name: str = 'a.png') -> Callable[[Path, dict], None]:
    """Replace an image file."""

    def write(root: Path, coco: dict) -> None:
        path = root / 'images' / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif name.endswith('.npy'):
            np.save(path, content)
        else:
            cv2.imwrite(str(path), content)
        coco['images'][0]['file_name'] = name

    return write


def encoded(suffix: str, share: float) -> bytes:
    content = cv2.imencode(suffix, picture(1))[1].tobytes()
    return content[: round(share * len(content))]


def grey_with_alpha() -> bytes:
    buffer = io.BytesIO()
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[277], tags[258], tags[338] = 2, (16, 16), 2  # two values a pixel, of which the second is the alpha
    pixels = np.stack([picture(1).astype(np.uint16) * 37] * 2, axis=-1).reshape(HEIGHT, 2 * WIDTH)
    Image.fromarray(pixels).save(buffer, 'TIFF', tiffinfo=tags)
    return buffer.getvalue()


def upside_down() -> bytes:
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[274] = 3
    Image.fromarray(picture(1)).save(buffer, 'JPEG', exif=exif)
    return buffer.getvalue()


def corners(entry: dict) -> dict:
    x, y, w, h = entry['bbox']
    return {'bbox': [x, y, x + w, y + h]}


def many_corners(root: Path, coco: dict) -> None:
    """Corners in a set of boxes only: 20 boxes in the image's lower right part."""
    for k in range(20):
        x, y = 20 + k % 10, 16 + k % 5
        coco['annotations'].append(
            {
                'id': 100 + k,
                'image_id': 11,
                'category_id': 1 + k % 4,
                'area': 300,
                'iscrowd': 0,
                'bbox': [x, y, x + 25, y + 20],
            }
        )
    del coco['annotations'][:4]


def two_like_each_other(root: Path, coco: dict) -> None:
    near = np.clip(
        picture(1).astype(int) * 0.9 + 7 + np.random.default_rng(0).integers(-1, 2, (HEIGHT, WIDTH)), 0, 255
    )
    cv2.imwrite(str(root / 'images' / 'b.png'), near.astype(np.uint8))


def with_dog(root: Path, coco: dict) -> None:
    coco['categories'].append({'id': 9, 'name': 'dog'})
    add('annotations', id=9, category_id=9)(root, coco)


def imbalanced(root: Path, coco: dict) -> None:
    first = coco['annotations'][0]
    for k in range(19):
        coco['annotations'].append(
            first
            | {'id': 50 + k, 'bbox': [k, 5, 9, 8], 'area': 72, 'segmentation': [[k, 5, k + 9, 5, k + 9, 13, k, 13]]}
        )


FLAT = [10, 10, 30, 10, 30, 41, 10, 41]


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content))


def bomb(root: Path, coco: dict) -> None:
    """A PNG of 9000x8000 equal pixels."""
    header, pixels = struct.pack('>IIBBBBB', 9000, 8000, 8, 0, 0, 0, 0), zlib.compress(bytes(8000 * 9001), 1)
    content = b''.join((chunk(b'IHDR', header), chunk(b'IDAT', pixels), chunk(b'IEND', b'')))
    file(b'\x89PNG\r\n\x1a\n' + content)(root, coco)


CASES = [
    # the file
    Case('no annotation file', 'file-missing', lambda root, coco: ''),
    Case('an empty annotation file', 'file-unreadable', text('\n')),
    Case('an annotation file that is cut off', 'file-unreadable', text('{"images": [{"id": 11, "file_na')),
    Case('a ZIP archive under the name .json', 'file-unreadable', text(b'PK\x03\x04\xff\xfe\x00')),
    Case('brackets nested 100,000 deep', 'file-unreadable', text('[' * 100_000)),
    Case('a list instead of an object', 'file-unreadable', text('[1, 2]')),
    Case('no section "annotations"', 'section-missing', lambda root, coco: coco.pop('annotations') and None),
    Case('"annotations" is null', 'section-missing', replace(annotations=None)),
    Case('no images', 'section-empty', replace(images=[])),
    Case('no categories', 'section-empty', replace(categories=[])),
    # entries and ids
    Case('an annotation without box', 'keys-missing', drop('annotations', 'bbox')),
    Case('an image without size', 'keys-missing', drop('images', 'width')),
    Case('an annotation that is null', 'keys-missing', lambda root, coco: coco['annotations'].append(None)),
    Case('a list as annotation id', 'id-type', put('annotations', id=[1])),
    Case('two images with one id', 'duplicate-id', put('images', 1, id=11)),
    Case('two annotations with one id', 'duplicate-id', put('annotations', 1, id=1)),
    Case('two categories with one id', 'duplicate-id', put('categories', 1, id=1)),
    Case('two categories with one name', 'duplicate-category-name', add('categories', 0, id=9)),
    Case('a category named "all"', 'reserved-category-name', put('categories', name='all')),
    Case('one file listed as two images', 'duplicate-file-name', put('images', 1, file_name='a.png')),
    Case('annotation ids from 0', 'annotation-id-unusable', put('annotations', id=0), TRAINS),
    Case('a file name outside the image folder', 'file-name', put('images', file_name='../a.png')),
    Case('an image width as text', 'image-size', put('images', width='64')),
    Case('an image height of NaN', 'image-size', put('images', height=NAN)),
    Case('an annotation of an unknown image', 'unknown-image', put('annotations', image_id=99)),
    Case('an image id as text', 'unknown-image', put('annotations', image_id='11')),
    Case('an annotation of an unknown category', 'unknown-category', put('annotations', category_id=9)),
    # classes
    Case(
        'other class names',
        'class-names',
        replace(
            categories=[{'id': i, 'name': name} for i, name in enumerate(('person', 'Car', 'bike', 'drone'), start=1)]
        ),
    ),
    Case('categories in another order', 'class-order', lambda root, coco: coco['categories'].reverse()),
    Case('a class that the config does not have', 'class-left-out', with_dog, SAID),
    Case(
        'a class without any target',
        'class-absent',
        lambda root, coco: coco['annotations'].pop(3) and None,
        TRAINS,
        targets=3,
    ),
    Case('20 humans to one car', 'class-imbalance', imbalanced, TRAINS, 23),
    Case('an image without targets', 'image-without-targets', put('annotations', image_id=12), TRAINS),
    # boxes
    Case('a box of three numbers', 'box-form', put('annotations', bbox=[10, 10, 20])),
    Case('a box of texts', 'box-form', put('annotations', bbox=['10', '10', '20', '31'])),
    Case('a box with NaN', 'box-not-finite', put('annotations', bbox=[10, NAN, 20, 31])),
    Case('a box with infinity', 'box-not-finite', put('annotations', bbox=[10, 10, INF, 31])),
    Case('a box with a number of 400 digits', 'box-not-finite', put('annotations', bbox=[10, 10, 10**400, 31])),
    Case('a box of zero width', 'box-empty', put('annotations', bbox=[10, 10, 0, 31])),
    Case('a box of negative height', 'box-empty', put('annotations', bbox=[10, 41, 20, -31])),
    Case('boxes as corners, with masks', 'box-corners', every(corners)),
    Case('boxes as corners, without masks', 'box-corners', many_corners),
    Case(
        'boxes as fractions of the image',
        'box-fractions',
        every(
            lambda a: {
                'bbox': [a['bbox'][0] / WIDTH, a['bbox'][1] / HEIGHT, a['bbox'][2] / WIDTH, a['bbox'][3] / HEIGHT]
            }
        ),
    ),
    Case('a box outside its image', 'box-left-out', put('annotations', bbox=[70, 10, 20, 31]), SAID, 3),
    Case('a box of half a pixel', 'box-left-out', put('annotations', bbox=[10, 10, 0.5, 31]), SAID, 3),
    Case('a box that sticks out of its image', 'box-out-of-bounds', put('annotations', bbox=[10, 10, 60, 31]), TRAINS),
    Case('the key "ignore"', 'ignore-key', put('annotations', ignore=1), SAID, 3),
    Case('the same target twice', 'duplicate-annotation', add('annotations', id=9), TRAINS, 5),
    # area and iscrowd
    Case('no "area"', 'field-missing', drop('annotations', 'area')),
    Case('no "iscrowd"', 'field-missing', drop('annotations', 'iscrowd')),
    Case('an area as text', 'area-form', put('annotations', area='620')),
    Case('an area of NaN', 'area-form', put('annotations', area=NAN)),
    Case('an area of 0', 'area-empty', put('annotations', area=0)),
    Case("an area that is not the mask's", 'area-mismatch', put('annotations', area=2000), TRAINS),
    Case('"iscrowd" as text', 'iscrowd-value', put('annotations', iscrowd='0')),
    Case('"iscrowd" of 2', 'iscrowd-value', put('annotations', iscrowd=2)),
    Case('a class of ignored regions only', 'crowd-only', put('annotations', iscrowd=1), TRAINS, 3),
    Case(
        'ignored regions for the most part',
        'crowd-share',
        lambda root, coco: [a.update(iscrowd=1) for a in coco['annotations'][:3]] and None,
        TRAINS,
        1,
    ),
    # masks
    Case('no mask', 'mask-missing', drop('annotations', 'segmentation')),
    Case('a text as mask', 'mask-form', put('annotations', segmentation='polygon')),
    Case('a polygon of two points', 'polygon-points', put('annotations', segmentation=[[10, 10, 30, 41]])),
    Case('a polygon with half a point', 'polygon-points', put('annotations', segmentation=[FLAT[:7]])),
    Case('a polygon that is not in a list', 'polygon-points', put('annotations', segmentation=FLAT)),
    Case('a polygon with NaN', 'polygon-numbers', put('annotations', segmentation=[[NAN, *FLAT[1:]]])),
    Case('a polygon of texts', 'polygon-numbers', put('annotations', segmentation=[list(map(str, FLAT))])),
    Case('a polygon without area', 'mask-empty', put('annotations', segmentation=[[10, 10, 20, 20, 30, 30]])),
    Case(
        'a polygon that crosses itself',
        'polygon-crossing',
        put('annotations', segmentation=[[10, 10, 30, 41, 30, 10, 10, 41]], area=310),
        TRAINS,
    ),
    Case('a mask outside the image', 'mask-off-image', put('annotations', segmentation=[[v + 80 for v in FLAT]])),
    Case(
        'a mask that leaves the image',
        'mask-out-of-bounds',
        put('annotations', segmentation=[[10, 10, 70, 10, 70, 41, 10, 41]], area=1860),
        TRAINS,
    ),
    Case(
        'a mask apart from its box',
        'mask-apart-from-box',
        put('annotations', segmentation=[[40, 10, 60, 10, 60, 41, 40, 41]]),
        TRAINS,
    ),
    Case(
        'a mask that sticks out of its box',
        'mask-beyond-box',
        put('annotations', segmentation=[[10, 10, 36, 10, 36, 41, 10, 41]], area=806),
        TRAINS,
    ),
    Case('an RLE without "counts"', 'rle-incomplete', put('annotations', segmentation={'size': [48, 64]})),
    Case(
        'an RLE that does not add up',
        'rle-malformed',
        put('annotations', segmentation={'size': [48, 64], 'counts': [490, 31, 100]}),
    ),
    Case(
        'an RLE with negative runs',
        'rle-malformed',
        put('annotations', segmentation={'size': [48, 64], 'counts': [490, -31, 2613]}),
    ),
    Case(
        'an RLE that is cut off', 'rle-malformed', put('annotations', segmentation={'size': [48, 64], 'counts': 'Rae'})
    ),
    Case(
        'an RLE of another image size',
        'rle-size',
        put('annotations', segmentation={'size': [64, 48], 'counts': [490, 31, 2551]}),
    ),
    Case(
        'RLE where polygons are needed',
        'rle-not-allowed',
        put('annotations', area=31, segmentation={'size': [48, 64], 'counts': [490, 31, 2551]}),
        poly2mask=False,
    ),
    # image files
    Case('an image file that is missing', 'image-missing', put('images', file_name='e.png')),
    Case('a file name in another case', 'image-missing', put('images', file_name='A.PNG')),
    Case('an empty image file', 'image-unreadable', file(b''), UNREADABLE),
    Case('a text under the name .png', 'image-unreadable', file(b'no picture'), UNREADABLE),
    Case('a PNG that is cut off', 'image-unreadable', file(encoded('.png', 0.6)), UNREADABLE),
    Case('a JPEG that is cut off', 'image-unreadable', file(encoded('.jpg', 0.6), 'a.jpg'), UNREADABLE),
    Case('an image of another size', 'size-mismatch', file(picture(1).T.copy()), UNREADABLE),
    Case('8-bit content in a 16-bit file', 'image-eight-bit', file(picture(1).astype(np.uint16)), UNREADABLE),
    Case(
        '16-bit values whose bytes have changed places',
        'image-bytes-swapped',
        file((picture(1).astype(np.uint16) * 37 + 5000).byteswap()),
        UNREADABLE,
    ),
    Case('a deep TIFF with transparency', 'image-unreadable', file(grey_with_alpha(), 'a.tif'), UNREADABLE),
    Case('an image with an EXIF orientation of 3', 'image-orientation', file(upside_down(), 'a.jpg'), SAID),
    Case('files of 8 and of 16 bits', 'image-depths', file(picture(1).astype(np.uint16) * 37 + 5000), UNREADABLE),
    Case(
        'NaN in an image of temperatures',
        'image-not-finite',
        file(np.where(np.eye(HEIGHT, WIDTH) > 0, NAN, 21.5).astype(np.float32), 'a.npy'),
        UNREADABLE,
    ),
    Case('72 megapixels in a file of 0.3 megabytes', 'image-too-large', bomb, UNREADABLE),
    Case('an image without contrast', 'image-constant', file(np.full((HEIGHT, WIDTH), 90, np.uint8)), TRAINS),
    Case('two images that look alike', 'near-duplicates', two_like_each_other, TRAINS),
]


def build(case: Case, root: Path) -> Path:
    """Write the broken set into an empty folder; returns the path of its COCO file."""
    coco = write_sound_set(root)
    content = case.change(root, coco)
    path = root / 'annotations.json'
    if content is None:
        content = json.dumps(coco)
    if content:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def check(case: Case, root: Path, path: Path) -> Checked:
    """Run everything that ``tools/data/validate.py`` runs on one file."""
    masks, rle_allowed = (None, True) if case.poly2mask is None else (True, case.poly2mask)
    return check_data_set(DataSet(path, Needs(CLASSES, masks, rle_allowed, folder=root / 'images')))


def render(folder: Path) -> str:
    """The table of the documentation."""
    lines = ['| input | message of `tools/data/validate.py` | severity | training |', '|---|---|---|---|']
    for number, case in enumerate(CASES):
        root = folder / str(number)
        problem = next(p for p in check(case, root, build(case, root)).problems if p.code == case.code)
        message = problem.text.replace(f'{root}/', '')
        message = re.sub(r'(another format\?\)): .*', r'\1: ...', message)  # Python's own words differ by version
        message = message.replace('|', '\\|').replace('<', '&lt;').replace('\n', ' ')
        lines.append(f'| {case.name} | `{case.code}` {message} | {problem.severity} | {case.training} |')
    return '\n'.join(lines)


def replaced(document: str, table: str) -> str:
    before, rest = document.split(BEGIN)
    return f'{before}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}'


if __name__ == '__main__':
    with tempfile.TemporaryDirectory() as temporary:
        DOC.write_text(replaced(DOC.read_text(), render(Path(temporary))))
