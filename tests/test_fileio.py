"""Text files as programs write them."""

from mmdet_ir.fileio import read_json, read_lines, read_text, refuse_overwriting

import pytest

TEXT = '{"name": "Wärmebild 热像"}'


@pytest.mark.parametrize(
    'encoding',
    ['utf-8', 'utf-8-sig', 'utf-16', 'utf-16-le', 'utf-16-be', 'utf-32', 'utf-32-le', 'utf-32-be'],
)
def test_encodings(tmp_path, encoding):
    path = tmp_path / 'a.json'
    path.write_bytes(TEXT.encode(encoding))
    assert read_text(path) == TEXT and read_json(path) == {'name': 'Wärmebild 热像'}
    path.write_bytes('a b\r\nc\rd\n\ne'.encode(encoding))
    assert read_lines(path) == ['a b', 'c', 'd', '', 'e']


def test_marks_within_joined_files(tmp_path):
    path = tmp_path / 'a.txt'
    path.write_bytes(b'\xef\xbb\xbfa\n\xef\xbb\xbfb\xef\xbb\xbf\n')
    assert read_lines(path) == ['a', 'b\ufeff']


@pytest.mark.parametrize(('encoding', 'byte'), [('gbk', '0xc8'), ('latin-1', '0xe4')])
def test_other_encodings_are_told(tmp_path, encoding, byte):
    path = tmp_path / 'a.txt'
    path.write_bytes(('name: ' + ('热像' if encoding == 'gbk' else 'ä')).encode(encoding))
    with pytest.raises(ValueError, match=rf'a.txt: expected text in UTF-8, got the byte {byte} at position 6.*iconv'):
        read_text(path)


def test_an_output_never_replaces_an_input(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('a.json', 'b.json'):
        (tmp_path / name).write_text(name)
    (tmp_path / 'link.json').symlink_to('a.json')
    for out in ('a.json', './a.json', tmp_path / 'a.json', 'link.json'):
        with pytest.raises(ValueError, match=r'--csv .*: expected another file than the input a\.json'):
            refuse_overwriting(out, (None, 'edge', 'b.json', 'a.json'), '--csv')
    for out in (None, 'new.json', 'b.json', '.'):
        refuse_overwriting(out, ('a.json', 'https://host/b.json', '.', None))
