"""One walker of folders: links are followed, what belongs to other programs is left out and told."""

import logging
from collections.abc import Iterator
from pathlib import Path

from mmdet_ir.apis.inference.inputs import find_sources
from mmdet_ir.datasets.images.files import find_files, find_images
from mmdet_ir.datasets.validation.files import unlisted_images

import pytest
from mmengine.logging import MMLogger

FOREIGN = (
    '.hidden.png',
    '._a.png',
    '.thumbnails/large/a.png',
    '@eaDir/a.png/SYNOPHOTO_THUMB_XL.png',
    '__MACOSX/a.png',
    'day1/.ipynb_checkpoints/a-checkpoint.png',
    '$RECYCLE.BIN/S-1-5/a.png',
    '.Trash-1000/files/a.png',
    'System Volume Information/a.png',
    'lost+found/a.png',
    '#recycle/a.png',
)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    caplog.set_level(logging.INFO)
    yield caplog
    logger.removeHandler(caplog.handler)


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b'')
    return root


def names(root: Path, paths: list[Path]) -> list[str]:
    return [path.relative_to(root).as_posix() for path in paths]


def test_a_folder_on_a_disk_that_is_not_there_is_told(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    root = touch(tmp_path / 'set', 'day1/a.png')
    (root / 'day2').symlink_to(tmp_path / 'disk' / 'day2')
    assert names(root, find_images(root)) == ['day1/a.png']
    assert 'day2 (a link that leads nowhere' in said.text


def test_links_are_followed_and_loops_come_to_an_end(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    touch(tmp_path / 'store', 'day2/b.png', 'day2/night/c.PNG', 'file.png')
    root = touch(tmp_path / 'set', 'day1/a.png', 'z_real/d.png', 'notes.txt')
    (root / 'day2').symlink_to(tmp_path / 'store' / 'day2')
    (root / 'a_link').symlink_to(root / 'z_real')  # comes first by name; the folder keeps its own
    (root / 'day1' / 'loop').symlink_to(root)
    (tmp_path / 'store' / 'day2' / 'back').symlink_to(root / 'day1')
    (root / 'e.png').symlink_to(tmp_path / 'store' / 'file.png')
    (root / 'gone.png').symlink_to(tmp_path / 'none.png')
    expected = ['day1/a.png', 'day2/b.png', 'day2/night/c.PNG', 'e.png', 'z_real/d.png']
    assert names(root, find_images(root)) == expected
    for line in (
        'a_link (a link to a folder that is walked',
        'day1/loop (a link',
        'gone.png (a link that leads nowhere',
    ):
        assert line in said.text
    (tmp_path / 'link').symlink_to(root)
    assert names(tmp_path / 'link', find_images(tmp_path / 'link')) == expected
    assert names(root, find_files(root, ('.txt',))) == ['notes.txt']
    sources = find_sources([str(root)], tmp_path / 'out')
    assert names(root, [source.files[0] for source in sources]) == expected


def test_files_of_other_programs_are_no_images(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    root = touch(tmp_path / '.cache' / 'set', 'a.png', 'day1/b.png', *FOREIGN)  # (what is above does not count)
    assert names(root, find_images(root)) == ['a.png', 'day1/b.png']
    assert f'{root}: left out:' in said.text and 'files of other programs, such as' in said.text
    for given, expected in {
        root: ['a.png', 'day1/b.png'],
        f'{root}/**/*.png': ['a.png', 'day1/b.png'],
        f'{root}/*/*.png': ['day1/b.png'],
    }.items():
        found = [path for source in find_sources([str(given)], tmp_path / 'out') for path in source.files]
        assert names(root, found) == expected
    codes = unlisted_images(['x.png'], root)
    assert codes[0].entries == ('a.png',)


def test_a_sound_folder_says_nothing(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    find_images(touch(tmp_path, 'a.png', 'b/c.tif', 'readme.md'))
    assert said.text == ''
