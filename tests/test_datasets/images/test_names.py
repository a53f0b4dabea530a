"""Names of image files as other programs write them."""

import unicodedata
from urllib.parse import quote

from mmdet_ir.datasets.images.names import FileNames, match_names

import pytest

FILE = 'sub/Wärmebild 热像 #1.png'


@pytest.mark.parametrize(
    'name',
    [
        'sub\\Wärmebild 热像 #1.png',
        'C:\\Users\\me\\sub\\Wärmebild 热像 #1.png',
        './sub/Wärmebild 热像 #1.png',
        '../../upload/sub/Wärmebild 热像 #1.png',
        quote(FILE),
        f'https://bucket.example/{quote(FILE)}?signature=a%20b',
        unicodedata.normalize('NFD', FILE),
        FILE.upper(),
        'sub/Wärmebild 热像 #1',
        'sub/Wärmebild 热像 #1.JPG',
        'sub / Wärmebild 热像 #1.png ',
    ],
)
def test_spellings(name):
    assert FileNames([FILE, 'other.png']).find(name) == FILE


@pytest.mark.parametrize('name', ['Wärmebild 热像 #1.png', 'b/sub.png', '', None, 7, 'x' * 5000, '..', '/'])
def test_names_that_mean_no_file(name):
    """A file in a folder is not meant by its bare name: another folder may have been."""
    assert FileNames([FILE]).find(name) is None


def test_what_is_not_certain_is_no_match():
    assert FileNames(['a.png', 'a.bmp']).find('a.jpg') is None
    assert FileNames(['a.png', 'A.png']).find('a.PNG') is None
    assert FileNames(['a.png', 'A.png']).find('x/A.png') == 'A.png'
    composed, decomposed = (unicodedata.normalize(form, 'ä.png') for form in ('NFC', 'NFD'))
    assert FileNames([composed, decomposed]).find('x/' + composed) is None


def test_each_file_is_meant_once():
    """train/a.png and val/a.png would both be a.png; b.jpg has its own entry under its exact name."""
    names = ['train/a.png', 'val/a.png', 'x/b.png', 'b.png', 'x/c.png']
    assert match_names(names, ['a.png', 'b.png', 'c.png']) == {'x/c.png': 'c.png'}
