"""Recordings from file names; a split that is there stays; images of different depths."""

import json
import runpy
import sys
from pathlib import Path

from mmdet_ir.datasets.coco_split import split_coco
from mmdet_ir.datasets.converters import Options, convert_labelme
from mmdet_ir.datasets.recordings import recordings_of

import cv2
import numpy as np
import pytest

REPO = Path(__file__).parents[2]
NAMES = [f'flight{flight:02d}_{frame:03d}.png' for flight in range(5) for frame in range(4)]


def labelme(folder: Path, names: list[str], dtype: type = np.uint8) -> None:
    rng = np.random.default_rng(0)
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), rng.integers(3, 250, (32, 48)).astype(dtype) * (1 if dtype == np.uint8 else 40))
        shape = {'label': 'fox', 'shape_type': 'polygon', 'points': [[4, 4], [20, 5], [18, 20]]}
        content = {'shapes': [shape], 'imagePath': path.name, 'imageWidth': 48, 'imageHeight': 32}
        path.with_suffix('.json').write_text(json.dumps(content))


def tool(name: str, *arguments: object) -> int:
    sys.argv = [name, *map(str, arguments)]
    try:
        runpy.run_path(str(REPO / 'tools' / 'data' / name), run_name='__main__')
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def clips(path: Path) -> dict[str, str]:
    return {image['file_name']: image['clip'] for image in json.loads(path.read_text())['images']}


def test_recordings_of_folders_and_names() -> None:
    assert recordings_of(['train/a/1.png', 'val/b/c/1.png'], 'folder') == ['a', 'b/c']
    assert recordings_of(['x_07_1.png', 'x_12_1.png'], '_([0-9]+)_') == ['07', '12']
    assert recordings_of(['x07.png', 'x12.png'], '[0-9]+') == ['07', '12']
    for names, source, told in (
        (['a.png', 'b/c.png'], 'folder', r'--clip-from folder: 1 images whose file name does not tell .*a\.png'),
        (['a/1.png', 'a/2.png'], 'folder', "expected 2 recordings or more, got 'a' for all 2 images; a regular"),
        (['a.png', 'b.png'], '(', r'expected "folder" or a regular expression, got'),
        (['a1.png', 'b.png'], '[0-9]', r'1 images .*b\.png'),
    ):
        with pytest.raises(ValueError, match=told):
            recordings_of(names, source)


def test_a_split_by_recording_needs_no_code(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    labelme(tmp_path / 'src', NAMES)
    assert tool('convert.py', 'labelme', tmp_path / 'src', tmp_path / 'out', '--clip-from', '(flight[0-9]+)_') == 0
    annotations = tmp_path / 'out' / 'annotations'
    expected = {name: name[:8] for name in NAMES}
    assert clips(annotations / 'all.json') == expected
    assert tool('split.py', annotations / 'all.json', annotations, '--group-by', 'clip') == 0
    train, val = clips(annotations / 'train.json'), clips(annotations / 'val.json')
    assert train | val == expected and len(set(val.values())) == 1 and not set(train.values()) & set(val.values())
    assert tool('split.py', annotations / 'all.json', tmp_path / 'other', '--clip-from', '^(.*)_') == 0
    assert clips(tmp_path / 'other' / 'val.json') == val and '5 recordings' in capsys.readouterr().out


def test_a_split_stays_where_it_is(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    labelme(tmp_path / 'src', NAMES)
    convert = ('labelme', tmp_path / 'src', tmp_path / 'out', '--clip-from', '(flight[0-9]+)_')
    assert tool('convert.py', *convert) == 0
    annotations = tmp_path / 'out' / 'annotations'
    split = (annotations / 'all.json', annotations, '--group-by', 'clip')
    assert tool('split.py', *split) == 0
    before = [(annotations / f'{name}.json').read_bytes() for name in ('train', 'val')]
    assert tool('split.py', *split, '--seed', 5) == 2  # not touched
    assert 'holds a split already, which was kept' in capsys.readouterr().err
    assert [(annotations / f'{name}.json').read_bytes() for name in ('train', 'val')] == before
    old = clips(annotations / 'val.json')
    new = [f'flight{flight:02d}_{frame:03d}.png' for flight in range(5, 15) for frame in range(2)]
    new.append(f'{next(iter(old.values()))}_900.png')  # one more of the recording for validation
    labelme(tmp_path / 'src', new)
    assert tool('convert.py', *convert, '--overwrite') == 0
    assert 'the split that was there is kept: 20 images stay' in capsys.readouterr().out
    train, val = clips(annotations / 'train.json'), clips(annotations / 'val.json')
    assert set(old) < set(val) and new[-1] in val and len(train) + len(val) == 41
    assert not set(train.values()) & set(val.values())
    assert tool('split.py', *split, '--overwrite', '--seed', 9) == 0
    assert '41 images keep their part, 0 new images' in capsys.readouterr().out
    assert clips(annotations / 'val.json') == val


@pytest.mark.parametrize('noted', [True, False])
def test_a_split_keeps_its_ratio(tmp_path: Path, noted: bool) -> None:
    """Half of the images, also of those that come later; parts of before the ratio was noted tell their share."""
    labelme(tmp_path / 'src', NAMES)
    convert = ('convert.py', 'labelme', tmp_path / 'src', tmp_path / 'out')
    assert tool(*convert) == 0
    annotations = tmp_path / 'out' / 'annotations'
    split = ('split.py', annotations / 'all.json', annotations)
    assert tool(*split, '--ratio', 0.5, '--seed', 3) == 0

    def parts() -> list[dict]:
        return [json.loads((annotations / f'{name}.json').read_text()) for name in ('train', 'val')]

    def names() -> list[set[str]]:
        return [{image['file_name'] for image in part['images']} for part in parts()]

    def drawn() -> list[tuple]:
        return [(part['info']['split_ratio'], part['info']['split_seed']) for part in parts()]

    before = names()
    assert drawn() == [(0.5, 3)] * 2 and [len(part) for part in before] == [10, 10]
    for name, part in zip(('train', 'val'), parts(), strict=True):
        if not noted:
            del part['info']['split_ratio'], part['info']['split_seed']
        (annotations / f'{name}.json').write_text(json.dumps(part))
    labelme(tmp_path / 'src', [f'flight09_{frame:03d}.png' for frame in range(20)])
    assert tool(*convert, '--overwrite') == 0
    after = names()
    assert [len(part) for part in after] == [20, 20] and all(a < b for a, b in zip(before, after, strict=True))
    assert drawn() == [(0.5, 3 if noted else 0)] * 2
    assert tool(*split, '--overwrite', '--seed', 4) == 0
    assert names() == after and drawn() == [(0.5, 4)] * 2


def test_a_former_split_through_a_recording_is_refused() -> None:
    images = [{'id': i, 'file_name': f'{i}.png', 'clip': str(i // 2)} for i in range(6)]
    coco = {'images': images, 'annotations': [], 'categories': []}
    with pytest.raises(ValueError, match="images of clip '1' in both parts, such as 3.png; delete"):
        split_coco(coco, 0.5, 0, 'clip', {('2.png', ''): True, ('3.png', ''): False})


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob('*') if path.is_file()}


def test_a_split_that_cannot_be_kept_is_not_lost(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Split image by image first; then the same source is converted with recordings."""
    labelme(tmp_path / 'src', NAMES)
    convert = ('convert.py', 'labelme', tmp_path / 'src', tmp_path / 'out')
    assert tool(*convert) == 0
    annotations = tmp_path / 'out' / 'annotations'
    assert tool('split.py', annotations / 'all.json', annotations) == 0
    before = contents(tmp_path / 'out')
    assert tool(*convert, '--overwrite', '--clip-from', '(flight[0-9]+)_') == 2
    assert "images of clip 'flight0" in capsys.readouterr().err
    assert contents(tmp_path / 'out') == before and len(list(tmp_path.iterdir())) == 2


def test_a_split_by_recording_stays_one(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """split.py found the recordings; what converts or splits anew was not told how."""
    labelme(tmp_path / 'src', NAMES)
    convert = ('convert.py', 'labelme', tmp_path / 'src', tmp_path / 'out')
    assert tool(*convert) == 0
    annotations = tmp_path / 'out' / 'annotations'
    split = ('split.py', annotations / 'all.json', annotations)
    assert tool(*split, '--clip-from', '(flight[0-9]+)_') == 0
    before = clips(annotations / 'train.json'), clips(annotations / 'val.json')
    for again in ((*convert, '--overwrite'), (*split, '--overwrite')):
        assert tool(*again) == 0
        assert (clips(annotations / 'train.json'), clips(annotations / 'val.json')) == before
    held_out = next(iter(before[1].values()))
    labelme(tmp_path / 'src', [f'{held_out}_{frame}.png' for frame in range(900, 910)])
    whole = contents(tmp_path / 'out')
    assert tool(*convert, '--overwrite') == 2
    told = capsys.readouterr().err
    assert '--clip-from: 10 new images lack the field "clip"' in told and f'{held_out}_900.png' in told
    assert contents(tmp_path / 'out') == whole
    assert tool(*convert, '--overwrite', '--clip-from', '(flight[0-9]+)_') == 0
    train, val = clips(annotations / 'train.json'), clips(annotations / 'val.json')
    assert train == before[0] and set(val.values()) == {held_out} and len(val) == 14


def test_a_split_by_another_field_stays_one(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """The dates were written into all.json by hand; the source does not have them."""
    labelme(tmp_path / 'src', NAMES)
    convert = ('convert.py', 'labelme', tmp_path / 'src', tmp_path / 'out', '--overwrite')
    assert tool(*convert) == 0
    annotations = tmp_path / 'out' / 'annotations'
    coco = json.loads((annotations / 'all.json').read_text())
    coco['images'] = [{**image, 'date': int(image['file_name'][6:8])} for image in coco['images']]
    (annotations / 'all.json').write_text(json.dumps(coco))
    split = ('split.py', annotations / 'all.json', annotations, '--overwrite')
    assert tool(*split, '--group-by', 'date') == 0

    def dates() -> list[set[int]]:
        parts = [json.loads((annotations / f'{name}.json').read_text())['images'] for name in ('train', 'val')]
        return [{(image['file_name'], image['date']) for image in part} for part in parts]

    before = dates()
    assert tool(*convert) == 0 and dates() == before
    assert (
        'kept: 20 images stay in train.json or val.json, 0 new images were divided by date' in capsys.readouterr().out
    )
    assert tool(*split) == 0 and dates() == before
    labelme(tmp_path / 'src', ['flight00_900.png'])
    whole = contents(tmp_path / 'out')
    assert tool(*convert) == 2 and contents(tmp_path / 'out') == whole
    assert '1 new images lack the field "date", and the split that is there is by date' in capsys.readouterr().err


def test_images_that_were_set_aside_are_not_divided(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """test.json holds a quarter of the images, by hand; it would be lost, and its images would be trained on."""
    labelme(tmp_path / 'src', NAMES)
    convert = ('convert.py', 'labelme', tmp_path / 'src', tmp_path / 'out')
    assert tool(*convert) == 0
    annotations = tmp_path / 'out' / 'annotations'
    images = json.loads((annotations / 'all.json').read_text())['images']
    write_images(annotations / 'test.json', images[:5])
    write_images(tmp_path / 'rest.json', images[5:])
    assert tool('split.py', tmp_path / 'rest.json', annotations) == 0
    before = contents(tmp_path / 'out')
    split = ('split.py', annotations / 'all.json', annotations, '--overwrite')
    for again in ((*convert, '--overwrite'), split, (*split, '--clip-from', '([a-z]+)'), (*split, '--group-by', 'id')):
        assert tool(*again) == 2
        assert '5 images are in dev.json or test.json only' in capsys.readouterr().err
        assert contents(tmp_path / 'out') == before
    train, val = ((annotations / f'{name}.json') for name in ('train', 'val'))
    kept = train.read_bytes(), val.read_bytes()
    train.unlink()
    val.unlink()  # as the guide says, to split anew
    assert tool(*split) == 2 and '5 images are in dev.json or test.json only' in capsys.readouterr().err
    assert not train.exists() and not val.exists()
    train.write_bytes(kept[0])
    val.write_bytes(kept[1])
    (annotations / 'test.json').write_bytes((annotations / 'val.json').read_bytes())  # (of the same images)
    assert tool('split.py', tmp_path / 'rest.json', annotations, '--overwrite') == 0


def write_images(path: Path, images: list[dict]) -> None:
    sizes = {'width': 48, 'height': 32}
    entries = [{'id': i, **sizes, **image} for i, image in enumerate(images)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({'images': entries, 'annotations': [], 'categories': [{'id': 1, 'name': 'fox'}]}))


def test_pages_of_a_stack_keep_their_parts(tmp_path: Path) -> None:
    pages = [{'file_name': 'stack.tiff', 'page': page} for page in range(10)]
    write_images(tmp_path / 'all.json', pages)
    split = ('split.py', tmp_path / 'all.json', tmp_path)

    def parts() -> list[list[int]]:
        read = [json.loads((tmp_path / f'{name}.json').read_text())['images'] for name in ('train', 'val')]
        return [[image['page'] for image in images] for images in read]

    assert tool(*split) == 0
    first = parts()
    assert [len(part) for part in first] == [8, 2]
    assert tool(*split, '--overwrite', '--seed', 1) == 0
    assert parts() == first
    write_images(tmp_path / 'all.json', pages + [{'file_name': 'stack.tiff', 'page': page} for page in range(10, 20)])
    assert tool(*split, '--overwrite') == 0
    assert all(set(old) < set(new) for old, new in zip(first, parts(), strict=True))


def test_no_part_of_a_split_becomes_empty(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    images = [{'file_name': f'{i}.png'} for i in range(10)]
    write_images(tmp_path / 'all.json', images)
    out = tmp_path / 'parts'
    assert tool('split.py', tmp_path / 'all.json', out) == 0
    before = contents(out)
    for name in ('train', 'val'):
        assert tool('split.py', out / f'{name}.json', out, '--overwrite') == 2
        assert f'{name}.json would be replaced by a part of itself' in capsys.readouterr().err
    kept = {image['file_name'] for image in json.loads(before['train.json'])['images']}
    write_images(tmp_path / 'fewer.json', [image for image in images if image['file_name'] in kept])
    assert tool('split.py', tmp_path / 'fewer.json', out, '--overwrite') == 2
    assert 'all 8 images are for train.json in the former split, so that val.json would' in capsys.readouterr().err
    assert contents(out) == before
    (out / 'val.json').unlink()
    assert tool('split.py', tmp_path / 'all.json', out) == 2
    assert tool('split.py', tmp_path / 'all.json', out, '--overwrite') == 2
    assert 'train.json is no split without its other part' in capsys.readouterr().err
    assert contents(out) == {'train.json': before['train.json']}


def test_depths_are_told_apart(tmp_path: Path) -> None:
    labelme(tmp_path / 'src', NAMES[:3])
    labelme(tmp_path / 'src', NAMES[10:15], np.uint16)
    report = convert_labelme(tmp_path / 'src', tmp_path / 'all')
    (note,) = (note for note in report.notes if 'depths' in note)
    assert '3 of 8 bits, the first: ' in note and '5 of 16 bits, the first: ' in note and '--depth 16 takes' in note
    report = convert_labelme(tmp_path / 'src', tmp_path / 'deep', Options(depth='16'))
    assert report.images['all'] == 5 and not report.lost
    assert any('3 images of 8 bits were left out, as --depth 16 asks' in note for note in report.notes)
