"""Public data by name, on files made by hand in the layout of each release."""

import json
from pathlib import Path

from mmdet_ir.cli.choices import RELEASES as NAMES
from mmdet_ir.datasets.converters import RELEASES, convert_release

import cv2
import numpy as np
import pytest

RNG = np.random.default_rng(0)


def put(path: Path, content: np.ndarray | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, str):
        path.write_text(content)
    else:
        assert cv2.imwrite(str(path), content)


def grey(height: int = 24, width: int = 32, dtype: type = np.uint8) -> np.ndarray:
    return RNG.integers(20, 200, (height, width)).astype(dtype)


def mask(*values: int, height: int = 24, width: int = 32) -> np.ndarray:
    """A square of 4x4 pixels for each value, side by side."""
    found = np.zeros((height, width), np.uint8)
    for place, value in enumerate(values):
        found[2:6, 2 + 7 * place : 6 + 7 * place] = value
    return found


def read(out: Path, split: str) -> tuple[list[str], list[tuple[str, list[float]]]]:
    """File names, and class and box of each object."""
    content = json.loads((out / 'annotations' / f'{split}.json').read_text())
    names = {entry['id']: entry['name'] for entry in content['categories']}
    found = [(names[entry['category_id']], entry['bbox']) for entry in content['annotations']]
    return [image['file_name'] for image in content['images']], found


def test_the_tool_offers_them_all() -> None:
    assert set(NAMES) == set(RELEASES)


def test_small_targets(tmp_path: Path) -> None:
    for number in range(2):
        put(tmp_path / 'src' / 'IRSTD1k_Img' / f'XDU{number}.png', grey())
        put(tmp_path / 'src' / 'IRSTD1k_Label' / f'XDU{number}.png', mask(255, 255))
    report = convert_release('irstd-1k', tmp_path / 'src', tmp_path / 'out')
    files, objects = read(tmp_path / 'out', 'all')
    assert files == ['XDU0.png', 'XDU1.png']
    assert objects == [('target', [2, 2, 4, 4]), ('target', [9, 2, 4, 4])] * 2
    assert any('terms of IRSTD-1k: MIT License' in note for note in report.notes)


def test_sirst_with_its_lists_and_names(tmp_path: Path) -> None:
    """Masks may have three channels and soft edges; lists make the parts."""
    for name in ('Misc_1', 'Misc_2'):
        put(tmp_path / 'src' / 'images' / f'{name}.png', grey())
        soft = mask(255)
        soft[6, 2:6] = 60
        put(tmp_path / 'src' / 'masks' / f'{name}_pixels0.png', cv2.merge([soft] * 3))
    put(tmp_path / 'src' / 'img_idx' / 'train_NUAA-SIRST.txt', 'Misc_2\n')
    put(tmp_path / 'src' / 'img_idx' / 'test_NUAA-SIRST.txt', 'Misc_1\n')
    convert_release('sirst', tmp_path / 'src', tmp_path / 'out')
    assert read(tmp_path / 'out', 'train') == (['Misc_2.png'], [('target', [2, 2, 4, 4])])
    assert read(tmp_path / 'out', 'val')[0] == ['Misc_1.png']


@pytest.mark.parametrize(
    ('lists', 'train', 'val'),
    [
        ({'train': '1', 'val': '2', 'test': '3', 'trainval': '12', 'trainvaltest': '123'}, '1', '23'),
        ({'trainval': '12', 'test': '3'}, '12', '3'),
    ],
)
def test_sirst_with_lists_of_several_parts(tmp_path: Path, lists: dict, train: str, val: str) -> None:
    """The lists of the release, of which some name the images of several parts."""
    for name in '123':
        put(tmp_path / 'src' / 'images' / f'Misc_{name}.png', grey())
        put(tmp_path / 'src' / 'masks' / f'Misc_{name}_pixels0.png', mask(255))
    for name, images in lists.items():
        put(tmp_path / 'src' / 'idx_427' / f'{name}.txt', ''.join(f'Misc_{image}\n' for image in images))
    convert_release('sirst', tmp_path / 'src', tmp_path / 'out')
    for split, images in (('train', train), ('val', val)):
        assert read(tmp_path / 'out', split)[0] == [f'Misc_{image}.png' for image in images]


def test_llvip(tmp_path: Path) -> None:
    box = '<bndbox><xmin>5</xmin><ymin>3</ymin><xmax>12</xmax><ymax>20</ymax></bndbox>'
    for part, name in (('train', '010001'), ('test', '190001')):
        put(tmp_path / 'src' / 'infrared' / part / f'{name}.jpg', grey())
        text = f'<annotation><object><name>person</name>{box}</object></annotation>'
        put(tmp_path / 'src' / 'Annotations' / f'{name}.xml', text)
    convert_release('llvip', tmp_path / 'src', tmp_path / 'out')
    assert read(tmp_path / 'out', 'train') == (['train/010001.jpg'], [('person', [5, 3, 7, 17])])
    assert read(tmp_path / 'out', 'val')[0] == ['val/190001.jpg']
    content = json.loads((tmp_path / 'out' / 'annotations' / 'val.json').read_text())
    assert content['licenses'][0]['name'].startswith('non-commercial') and content['images'][0]['license'] == 1


def test_mfnet_takes_the_fourth_channel(tmp_path: Path) -> None:
    thermal = grey()
    put(tmp_path / 'src' / 'images' / '00001D.png', cv2.merge([grey(), grey(), grey(), thermal]))
    put(tmp_path / 'src' / 'labels' / '00001D.png', mask(1, 2, 3))
    put(tmp_path / 'src' / 'train.txt', '00001D\n')
    convert_release('mfnet', tmp_path / 'src', tmp_path / 'out')
    files, objects = read(tmp_path / 'out', 'train')
    assert [name for name, _ in objects] == ['car', 'person', 'bike']
    written = cv2.imread(str(tmp_path / 'out' / 'images' / files[0]), cv2.IMREAD_UNCHANGED)
    assert (written == thermal).all()


def test_msrs(tmp_path: Path) -> None:
    for part in ('train', 'test'):
        put(tmp_path / 'src' / part / 'ir' / '00001D.png', grey())
        put(tmp_path / 'src' / part / 'Segmentation_labels' / '00001D.png', mask(2, 8))
    convert_release('msrs', tmp_path / 'src', tmp_path / 'out')
    for split, part in (('train', 'train'), ('val', 'test')):
        files, objects = read(tmp_path / 'out', split)
        assert files == [f'{part}/00001D.png'] and [name for name, _ in objects] == ['person', 'bump']


def test_massmind_tells_touching_boats_apart(tmp_path: Path) -> None:
    """Two obstacles side by side, a swimmer, and sky and water, which are no targets; one image lacks a mask."""
    classes, instances = np.zeros((24, 32), np.uint8), np.ones((24, 32), np.uint8)
    classes[12:], instances[12:] = 1, 2
    for number, columns, value in ((3, slice(2, 8), 3), (4, slice(8, 14), 3), (5, slice(20, 22), 4)):
        classes[10:14, columns], instances[10:14, columns] = value, number
    name = 'a1571161484_881385'
    put(tmp_path / 'src' / 'Images' / f'{name}.png', grey())
    put(tmp_path / 'src' / 'Images' / 'a2.png', grey())
    put(tmp_path / 'src' / 'Semantic' / f'{name}_label_ground-truth_semantic.png', classes)
    put(tmp_path / 'src' / 'Semantic' / 'a2_label_ground-truth_semantic.png', classes)
    put(tmp_path / 'src' / 'Instance' / f'{name}_label_ground-truth_instance.png', instances)
    report = convert_release('massmind', tmp_path / 'src', tmp_path / 'out')
    files, objects = read(tmp_path / 'out', 'all')
    assert files == [f'{name}.png']
    assert objects == [('obstacle', [2, 10, 6, 4]), ('obstacle', [8, 10, 6, 4]), ('living obstacle', [20, 10, 2, 4])]
    (skipped,) = report.skipped
    assert 'a2.png' in skipped and 'a2_label_ground-truth_instance.png' in skipped
    assert not any('connected components' in note for note in report.notes)


@pytest.mark.parametrize('bits', [8, 16])
def test_pst900(tmp_path: Path, bits: int) -> None:
    for part in ('train', 'test'):
        put(tmp_path / 'src' / part / 'thermal' / 'a.png', grey())
        put(tmp_path / 'src' / part / 'thermal_raw' / 'a.png', grey(dtype=np.uint16) * 40)
        put(tmp_path / 'src' / part / 'labels' / 'a.png', mask(1, 4))
    convert_release('pst900', tmp_path / 'src', tmp_path / 'out', bits)
    files, objects = read(tmp_path / 'out', 'val')
    assert files == ['test/a.png'] and [name for name, _ in objects] == ['fire-extinguisher', 'survivor']
    image = cv2.imread(str(tmp_path / 'out' / 'images' / files[0]), cv2.IMREAD_UNCHANGED)
    assert image.dtype == (np.uint8 if bits == 8 else np.uint16)


def test_drone_vehicle(tmp_path: Path) -> None:
    """The white border of 100 pixels goes; a turned box becomes a mask of about its own area."""
    image = np.full((264, 296), 255, np.uint8)
    image[100:-100, 100:-100] = 40
    corners = [(120, 120), (140, 130), (136, 138), (116, 128)]
    cv2.fillPoly(image, [np.array(corners, np.int32)], 220)
    points = ''.join(f'<x{i}>{x}</x{i}><y{i}>{y}</y{i}>' for i, (x, y) in enumerate(corners, start=1))
    item = f'<object><name>feright car</name><polygon>{points}</polygon></object>'
    put(tmp_path / 'src' / 'train' / 'trainimgr' / '00001.jpg', image)
    turned = '<robndbox><cx>130</cx><cy>140</cy><w>20</w><h>10</h><angle>0.5</angle></robndbox>'
    more = f'<object><name>car</name><polygon>{points}</polygon><polygon>{points}</polygon></object>'
    more += f'<object><name>bus</name>{turned}</object>'
    put(tmp_path / 'src' / 'train' / 'trainlabelr' / '00001.xml', f'<annotation>{item}{more}</annotation>')
    report = convert_release('drone-vehicle', tmp_path / 'src', tmp_path / 'out')
    assert report.dropped == {'car: object with more than one polygon': 1}
    files, ((name, box), _) = read(tmp_path / 'out', 'train')
    assert name == 'freight car' and box == pytest.approx([16, 20, 24, 18], abs=1)
    content = json.loads((tmp_path / 'out' / 'annotations' / 'train.json').read_text())
    (image,), (annotation, bus) = content['images'], content['annotations']
    assert bus['area'] == pytest.approx(20 * 10, rel=0.1)  # all of it, within the image without its border
    assert (image['width'], image['height']) == (96, 64) and files == ['train/00001.png']
    x, y = np.array(corners).T
    area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    assert annotation['mask_source'] == 'derived' and annotation['area'] == pytest.approx(area, rel=0.2)


def test_another_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / 'src').mkdir()
    for name in RELEASES:
        with pytest.raises(FileNotFoundError, match='expected .*, which is .*; found no image of it'):
            convert_release(name, tmp_path / 'src', tmp_path / 'out')
    with pytest.raises(ValueError, match='--bits 16: expected 8, because LLVIP'):
        convert_release('llvip', tmp_path / 'src', tmp_path / 'out', 16)
    put(tmp_path / 'src' / 'images' / 'a.png', grey())
    with pytest.raises(ValueError, match='no usable image|expected'):
        put(tmp_path / 'src' / 'labels' / 'a.png', mask(1))
        convert_release('mfnet', tmp_path / 'src', tmp_path / 'out')


def test_files_of_one_name_are_told(tmp_path: Path) -> None:
    """No mask and no image takes the place of another one of its name, and a damaged mask is told by its name."""
    for name in 'abc':
        put(tmp_path / 'sirst' / 'images' / f'{name}.png', grey())
        put(tmp_path / 'sirst' / 'masks' / f'{name}.png', mask(255))
    put(tmp_path / 'sirst' / 'masks' / 'b_pixels0.png', mask(0, 255))
    put(tmp_path / 'sirst' / 'masks' / 'c.png', 'no image')
    report = convert_release('sirst', tmp_path / 'sirst', tmp_path / 'out')
    assert read(tmp_path / 'out', 'all')[0] == ['a.png']
    assert 'b.png: expected one mask, got 2' in report.skipped[0] and 'c.png: not a readable' in report.skipped[1]
    for folder in ('day', 'night'):
        put(tmp_path / 'sea' / folder / '1.png', grey())
    for kind in ('semantic', 'instance'):
        put(tmp_path / 'sea' / f'1_label_ground-truth_{kind}.png', mask(3))
        put(tmp_path / 'sea' / f'2_label_ground-truth_{kind}.png', mask(3))
    put(tmp_path / 'sea' / '2.png', grey())
    report = convert_release('massmind', tmp_path / 'sea', tmp_path / 'other')
    assert read(tmp_path / 'other', 'all')[0] == ['2.png']
    (told,) = report.skipped
    assert 'expected one file of each name, got' in told and 'day/1.png and' in told and 'night/1.png' in told
