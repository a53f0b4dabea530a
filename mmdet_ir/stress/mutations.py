"""Damaged copies of a small sound data set: of its annotation file by structure and by bytes, of its images by bytes.

All of it follows from a ``random.Random``, so a case is told by its seed and number.
"""

import copy
import json
import random
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from .sound_set import ANNOTATIONS, HEIGHT, WIDTH

LONGEST = 1 << 24  # characters of an annotation file
_NUMBERS = (
    0,
    -1,
    1,
    2,
    255,
    1e-300,
    0.5,
    -0.0,
    1e9,
    1e18,
    1e38,
    1e39,
    1e300,
    1e308,
    -1e308,
    2**31 - 1,
    2**31,
    -(2**31),
    2**32,
    2**53,
    2**63 - 1,
    2**63,
    -(2**63),
    2**64,
    10**6,
    10**400,
    10**4000,
    float('nan'),
    float('inf'),
    -float('inf'),
)
_OTHERS = (
    None,
    True,
    False,
    '',
    ' ',
    '1',
    'x',
    'NaN',
    '../../etc/passwd',
    '/etc/passwd',
    '..\\..\\x.png',
    'C:\\x.png',
    'a.png\0',
    '\ud800',
    'a' * 300,
    'sub',
    '.',
    'a.png/b',
    [],
    {},
    [[]],
    [{}],
    [None],
    [1, 2, 3, 4],
    [[1, 2, 3, 4, 5, 6]],
    [[0, 0, 1e9, 0, 1e9, 1e9]],
    [[0, 0, 1e9, 0, 1e9, 1e9, 0, 1e9]],
    [[-3e8, 4, 9, 9, 2e9, -5e8]],
)
_RLES = (
    {'size': [10**6, 10**6], 'counts': [10**12]},
    {'size': [10**6, 10**6], 'counts': 'garbage'},
    {'size': [HEIGHT, WIDTH], 'counts': [-5, WIDTH * HEIGHT + 5]},
    {'size': [HEIGHT, WIDTH], 'counts': [0, 2**31]},
    {'size': [HEIGHT, WIDTH], 'counts': 'oooooooooooooooooooo'},
    {'size': [HEIGHT, WIDTH], 'counts': 'X'},
    {'size': [-HEIGHT, -WIDTH], 'counts': [0, WIDTH * HEIGHT]},
    {'size': [2**63, 2**63], 'counts': [1, 2]},
    {'size': [HEIGHT, WIDTH], 'counts': [2**64, 5]},
    {'size': [HEIGHT, WIDTH], 'counts': []},
    {'size': [HEIGHT], 'counts': '0'},
    {'size': [HEIGHT, WIDTH], 'counts': None},
    {'size': [HEIGHT, WIDTH], 'counts': '\u00e9\u4e2d'},
    {'size': [HEIGHT, WIDTH], 'counts': [0.5, 3]},
)


@dataclass
class Case:
    """One damaged data set.

    Attributes:
        files: Content by path in the data set's folder; the other files are the sound ones.
        what: The mutations, in words.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    what: list[str] = field(default_factory=list)


def make_case(sound: dict[str, bytes], seed: int, number: int) -> Case:
    """The case of that number; half of them are annotation files."""
    rng = random.Random(f'{seed} {number}')
    case = Case()
    if rng.random() < 0.5:
        content, what = damage_json(sound[ANNOTATIONS], rng)
        case.files[ANNOTATIONS] = content
    else:
        name = rng.choice([name for name in sound if name != ANNOTATIONS])
        content, what = damage_image(name, sound, rng)
        case.files[name] = content
    case.what = what
    return case


def damage_json(content: bytes, rng: random.Random) -> tuple[bytes, list[str]]:
    """An annotation file with one to four changes of its structure, sometimes also of its bytes."""
    tree, what = json.loads(content), []
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        tree = _change_tree(tree, rng, what)
    text = _written(tree)
    if text is None:
        text = content.decode('utf-8')
        what.append('too large, left as it was')
    if rng.random() < 0.1:
        text = _odd_text(text, rng, what)
    content = text.encode('utf-8')
    if rng.random() < 0.15:
        content = damage_bytes(content, content, rng, what)
    return content, what


def _written(tree: object) -> str | None:
    """The tree as JSON; ``None`` if that is too long, as a thousand copies of a thousand copies are."""
    pieces, length = [], 0
    for piece in json.JSONEncoder().iterencode(tree):
        pieces.append(piece)
        length += len(piece)
        if length > LONGEST:
            return None
    return ''.join(pieces)


def _change_tree(tree: object, rng: random.Random, what: list[str]) -> object:
    tree = copy.deepcopy(tree)
    holder, key, path = _pick(tree, rng)
    if holder is None:  # the whole file
        what.append('another root')
        return _value(rng)
    old = holder[key]
    kind = rng.choice(('value', 'value', 'value', 'delete', 'type', 'copy', 'swap', 'scale', 'rename', 'rle'))
    what.append(f'{kind} {path}')
    if kind == 'delete':
        del holder[key]
    elif kind == 'type':
        holder[key] = rng.choice((str, lambda v: [v], lambda v: {'x': v}, repr, lambda v: [v] * 1000))(old)
    elif kind == 'copy' and isinstance(holder, list):
        holder.insert(rng.randrange(len(holder) + 1), copy.deepcopy(old))
    elif kind == 'swap':
        other, other_key, _ = _pick(tree, rng)
        if other is not None:
            holder[key] = copy.deepcopy(other[other_key])
    elif kind == 'scale' and isinstance(old, int | float) and not isinstance(old, bool) and abs(old) < 1e280:
        holder[key] = old * rng.choice((-1, 0.001, 10, 1000, 10**9, 10**17))
    elif kind == 'rename' and isinstance(holder, dict):
        holder[rng.choice(('id', 'page', 'ignore', 'segmentation', 'bbox', 'X'))] = holder.pop(key)
    elif kind == 'rle' and tree and isinstance(tree, dict) and isinstance(tree.get('annotations'), list):
        entries = [entry for entry in tree['annotations'] if isinstance(entry, dict)]
        if entries:
            rng.choice(entries)['segmentation'] = copy.deepcopy(rng.choice(_RLES))
    else:
        holder[key] = _value(rng)
    return tree


def _pick(tree: object, rng: random.Random) -> tuple[dict | list | None, object, str]:
    """A random entry: what holds it, its key and its path; deeper ones more often."""
    holder, key, path = None, None, ''
    node = tree
    while isinstance(node, dict | list) and node and (holder is None or rng.random() < 0.85):
        holder = node
        key = rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
        if path == '' and isinstance(node, dict) and rng.random() < 0.6 and 'annotations' in node:
            key = 'annotations'
        path += f'/{key}'
        node = node[key]
    return holder, key, path


def _value(rng: random.Random) -> object:
    return copy.deepcopy(rng.choice(rng.choice((_NUMBERS, _NUMBERS, _OTHERS, _RLES))))


def _odd_text(text: str, rng: random.Random, what: list[str]) -> str:
    kind = rng.choice(('deep list', 'deep object', '1e400', 'duplicate key', 'BOM', 'comment', 'long number'))
    what.append(kind)
    if kind.startswith('deep'):
        depth = rng.choice((50, 900, 100_000))
        one, two = ('[', ']') if kind == 'deep list' else ('{"x":', '}')
        return text.replace('"year": 2025', f'"year": {one * depth}0{two * depth}', 1)
    place = text.find('"width": ', rng.randrange(max(len(text), 1)))
    if kind == 'BOM' or place < 0:
        return '\ufeff' + text
    inserted = {
        '1e400': '"width": 1e400, ',
        'duplicate key': '"width": 7, ',
        'comment': '/* */',
        'long number': f'"width": {"9" * 5000}, ',
    }[kind]
    return text[:place] + inserted + text[place:]


def damage_image(name: str, sound: dict[str, bytes], rng: random.Random) -> tuple[bytes, list[str]]:
    """The content of an image file with one to four changes, aware of the headers of PNG, BMP, TIFF, JPEG and npy."""
    content, what = sound[name], [name]
    others = [other for key, other in sound.items() if key != ANNOTATIONS]
    for _ in range(rng.choice((1, 1, 2, 4))):
        if rng.random() < 0.5:
            content = _damage_header(content, rng, what)
        else:
            content = damage_bytes(content, rng.choice(others), rng, what)
    return content, what


def damage_bytes(content: bytes, other: bytes, rng: random.Random, what: list[str]) -> bytes:
    """Flipped bits, a cut, a piece of another file, repeated or removed pieces, long runs of one byte, numbers."""
    kind = rng.choice(('flip', 'flip', 'cut', 'splice', 'repeat', 'remove', 'fill', 'number', 'replace'))
    what.append(kind)
    data, place = bytearray(content), rng.randrange(len(content) + 1)
    length = rng.choice((1, 4, 16, 100, len(content)))
    if kind == 'flip':
        for _ in range(rng.choice((1, 1, 3, 30)) if data else 0):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == 'cut':
        del data[place:]
    elif kind == 'splice':
        begin = rng.randrange(len(other) + 1)
        data[place : place + length * rng.randrange(2)] = other[begin : begin + length]
    elif kind == 'repeat':
        data[place:place] = data[place : place + length] * rng.choice((1, 10))
    elif kind == 'remove':
        del data[place : place + length]
    elif kind == 'fill':
        data[place : place + length] = bytes([rng.choice((0, 255, 0x41))]) * len(data[place : place + length])
    elif kind == 'number':
        _put_number(data, place, rng)
    else:
        return other
    return bytes(data)


def _put_number(data: bytearray, place: int, rng: random.Random) -> None:
    value = rng.choice((0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 100_000))
    form = rng.choice(('<H', '>H', '<I', '>I'))
    packed = struct.pack(form, value & (0xFFFF if form.endswith('H') else 0xFFFFFFFF))
    data[place : place + len(packed)] = packed


def _damage_header(content: bytes, rng: random.Random, what: list[str]) -> bytes:
    signatures: dict[bytes, Callable] = {
        b'\x89PNG': _damage_png,
        b'II*\0': _damage_tiff,
        b'\xff\xd8': _damage_jpeg,
        b'\x93NUMPY': _damage_npy,
    }
    for signature, change in signatures.items():
        if content.startswith(signature) and len(content) > 64:
            what.append(f'header {signature[1:4]!r}')
            return change(content, rng)
    data = bytearray(content)
    what.append('number in the header')
    _put_number(data, rng.randrange(min(len(data), 60) + 1), rng)
    return bytes(data)


def _damage_png(content: bytes, rng: random.Random) -> bytes:
    """Another header with a sound checksum, or another size of a chunk."""
    data = bytearray(content)
    if rng.random() < 0.7:
        place = rng.choice((16, 20))
        struct.pack_into('>I', data, place, rng.choice((0, 1, 41, 1000, 20_000, 100_000, 2**31 - 1, 2**32 - 1)))
        if rng.random() < 0.3:
            data[rng.randrange(24, 29)] = rng.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))
        struct.pack_into('>I', data, 29, zlib.crc32(data[12:29]))
    else:
        struct.pack_into('>I', data, 33, rng.choice((0, 1, 2**31 - 1, 2**32 - 1)))
    return bytes(data)


def _damage_tiff(content: bytes, rng: random.Random) -> bytes:
    """Another number in one field of the first directory, or another place of the directory."""
    data = bytearray(content)
    (place,) = struct.unpack_from('<I', data, 4)
    if rng.random() < 0.1 or place + 2 > len(data):
        struct.pack_into('<I', data, 4, rng.choice((0, 4, 8, len(data), 2**32 - 1)))
        return bytes(data)
    (number,) = struct.unpack_from('<H', data, place)
    entry = place + 2 + 12 * rng.randrange(min(number, 20) + 1)
    if entry + 12 <= len(data):
        form, offset = rng.choice((('<H', 0), ('<H', 2), ('<I', 4), ('<I', 8), ('<I', 8), ('<I', 8)))
        value = rng.choice((0, 1, 3, 16, 322, 323, 257, 20_000, 65_535, 100_000, 2**31, 2**32 - 1, place))
        struct.pack_into(form, data, entry + offset, value & (0xFFFF if form == '<H' else 2**32 - 1))
    return bytes(data)


def _damage_jpeg(content: bytes, rng: random.Random) -> bytes:
    """Another size in the frame header."""
    data, place = bytearray(content), content.find(b'\xff\xc0')
    if 0 <= place < len(data) - 9:
        struct.pack_into('>H', data, place + rng.choice((2, 5, 7)), rng.choice((0, 1, 41, 9000, 30_000, 65_535)))
    return bytes(data)


def _damage_npy(content: bytes, rng: random.Random) -> bytes:
    """Another type or shape."""
    shape = rng.choice(
        (
            b'(1000000, 1000000)',
            b'(99999999999, 9)',
            b'(-1, 4)',
            b'(0, 5)',
            b'()',
            b'(32, 40, 9)',
            b'((((((',
            b'(32, 10**9)',
            b'(2, 3, 4, 5)',
        )
    )
    kind = rng.choice((b"'|O'", b"'<f4'", b"'<f8'", b"'<c8'", b"'<U9'", b"'<M8[s]'", b"[('a', '<f4')]", b"'|V4'"))
    changed = content.replace(b'(32, 40)', shape, 1) if rng.random() < 0.6 else content.replace(b"'<f4'", kind, 1)
    body = changed[10 : changed.find(b'\n')]
    return content[:8] + struct.pack('<H', len(body) + 1) + body + changed[changed.find(b'\n') :]
