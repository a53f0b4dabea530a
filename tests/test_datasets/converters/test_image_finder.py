"""Where the images of a source are."""

from pathlib import Path

from mmdet_ir.datasets.converters.images import ImageFinder, name_in_set, resolve_inside
from mmdet_ir.datasets.converters.records import split_of

import pytest


@pytest.mark.parametrize(
    'name',
    [
        '../x.png',
        '../../etc/passwd',
        '..\\..\\x.png',
        'a/../../../x.png',
        '/etc/passwd',
        'C:\\x.png',
        '\\\\host\\x',
        '\\x.png',
        '',
        '  ',
        'a\0.png',
        None,
        7,
    ],
)
def test_names_that_leave_the_source(name, tmp_path):
    with pytest.raises(ValueError, match='here: expected a file'):
        resolve_inside(tmp_path, tmp_path, name, 'here')


def test_names_that_stay_inside(tmp_path):
    folder = tmp_path / 'labels'
    assert resolve_inside(tmp_path, folder, '..\\images\\x.png', '') == tmp_path / 'images' / 'x.png'
    assert resolve_inside(tmp_path, folder, './a/../b.png', '') == folder / 'b.png'
    assert resolve_inside(tmp_path, folder, '..x.png', '') == folder / '..x.png'
    # A folder whose name begins alike is another folder.
    with pytest.raises(ValueError, match='leads out of it'):
        resolve_inside(tmp_path / 'a', tmp_path / 'a', '../ab/x.png', '')
    assert resolve_inside(Path('data'), Path('data/labels'), '../x.png', '') == Path('data/x.png')
    assert name_in_set(Path('./data'), Path('data/images/a/x.png')) == 'a/x.png'
    assert name_in_set(Path('data'), Path('data/train/images/x.png')) == 'train/images/x.png'


def test_split_of():
    folders = [('labels', 'Train'), ('validation',), ('b', 'test', 'train'), ('trains',), ()]
    assert [split_of(names) for names in folders] == ['train', 'val', 'test', 'all', 'all']


@pytest.mark.parametrize(
    ('name', 'files', 'found'),
    [
        ('b.png', ['day/a.png', 'night/b.png'], 'day/a.png'),  # a name that has become wrong
        ('b.png', ['day/a.png', 'b.png'], 'day/a.png'),
        ('C:\\ir\\b.png', ['day/a.png', 'night/b.png'], 'day/a.png'),
        ('b.jpg', ['day/a.png', 'day/b.png'], 'day/b.png'),
        ('../night/b.png', ['day/a.png', 'night/b.png'], 'night/b.png'),  # a folder is named, too
        ('/data/night/b.png', ['day/a.png', 'night/b.png'], 'night/b.png'),
        ('b.png', ['images/a.png', 'night/b.png'], 'night/b.png'),  # no image is beside the annotation
        ('c.png', ['images/a.png', 'night/b.png'], 'images/a.png'),
    ],
)
def test_the_image_beside_its_annotation(tmp_path, name, files, found):
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    finder = ImageFinder(tmp_path)
    assert finder.find(tmp_path / 'day', name, 'day/a.json', 'a') == tmp_path / found
