"""What readers leave of counts: against the arithmetic of each reader, written out here."""

import re
from pathlib import Path

import mmdet_ir  # noqa: F401  (first: mmcv cannot be imported without it)
from mmdet_ir.analysis import loaders
from mmdet_ir.analysis.loaders import compare_loaders, draw_loaders, loaders_table
from mmdet_ir.datasets.synthetic import generate_scene

import cv2
import numpy as np
import pytest

README = Path(__file__).parents[2] / 'README.md'


@pytest.fixture(scope='module')
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, np.ndarray]:
    counts = generate_scene(8).counts
    path = str(tmp_path_factory.mktemp('scene') / 'scene.png')
    assert cv2.imwrite(path, counts)
    return path, counts


def test_what_each_reader_leaves(scene: tuple[str, np.ndarray]) -> None:
    path, counts = scene
    found = {reading.reader: reading for reading in compare_loaders(path)}
    np.testing.assert_array_equal(found['in the file'].image, counts)
    # OpenCV's colour reader keeps the upper byte, Pillow's conversion clips at 255.
    np.testing.assert_array_equal(found['cv2.imread(path)'].image, counts // 256)
    np.testing.assert_array_equal(found["PIL.Image.open(path).convert('RGB')"].image, np.minimum(counts, 255))
    np.testing.assert_array_equal(found['cv2.imread(path, IMREAD_UNCHANGED)'].image, counts)
    assert found['cv2.imread(path)'].levels == len(set((counts // 256).ravel().tolist())) == 5
    assert found["PIL.Image.open(path).convert('RGB')"].levels == 1
    # The percentiles are spread over 0 to 255, which leaves as many levels as 8 bits hold.
    last = list(found.values())[-1]
    assert last.image.dtype == np.uint8 and last.levels > 200
    assert (last.image.min(), last.image.max()) == (0, 255)


def test_readers_that_are_not_there_or_refuse_are_listed(
    scene: tuple[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(path: str) -> np.ndarray:
        raise OSError(path)

    readers = (('absent', 'no_such_library', refuses), ('refuses', 'cv2', refuses), ('none', 'cv2', lambda path: None))
    monkeypatch.setattr(loaders, 'READERS', readers)
    found = compare_loaders(scene[0])
    assert [reading.reason for reading in found[1:-1]] == ['not installed', 'refused (OSError)', 'refused']
    lines = loaders_table(found).splitlines()
    assert lines[3] == '| absent | not installed | - | - | - |' and len(lines) == 2 + len(found)


def test_the_picture_shows_the_readers_of_8_bits(scene: tuple[str, np.ndarray], tmp_path: Path) -> None:
    readings = compare_loaders(scene[0])
    draw_loaders(readings, tmp_path / 'loaders.png')
    picture = cv2.imread(str(tmp_path / 'loaders.png'))
    assert picture is not None and len(np.unique(picture)) > 100
    with pytest.raises(ValueError, match='expected a picture'):
        draw_loaders(readings, tmp_path / 'loaders.xyz')


def test_the_table_of_the_readme_is_what_the_readers_give(scene: tuple[str, np.ndarray]) -> None:
    text = README.read_text(encoding='utf-8')
    shown = re.findall(r'^\| (?:in the file|\S*(?:read|open|decode)\S*\(|LoadIR).*$', text, flags=re.MULTILINE)
    assert len(shown) == 7
    assert set(shown) - set(loaders_table(compare_loaders(scene[0])).splitlines()) == set()
