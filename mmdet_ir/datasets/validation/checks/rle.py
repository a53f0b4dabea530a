"""Run lengths of many COCO RLE masks at once, without decoding them to pixels."""

from collections.abc import Sequence

import numpy as np

_LONGEST = 7  # characters of 5 bits that one number of a compressed RLE may have
_PART = 4096  # masks at a time: the arrays stay in the processor's caches, and the memory small


def run_lengths(counts: Sequence[str | list]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Decode the ``counts`` of R masks.

    The text form is that of pycocotools (``rleFrString``): little-endian groups of 5 bits in characters from ``'0'``
    on, bit 5 set if more follow, two's complement; from the fourth number on the difference to the one two before.

    Args:
        counts: Text (also as bytes), or a list of numbers, for each mask.

    Returns:
        Run lengths of all masks one after the other, ``[K]``; the mask of each, ``[K]``; and which masks are well
        formed, ``[R]``: decodable, no negative run. Those that are not have no runs.
    """
    good = np.ones(len(counts), bool)
    texts, text_of, lists, list_of = [], [], [], []
    for i, value in enumerate(counts):
        value = value.decode('latin-1') if isinstance(value, bytes) else value
        if isinstance(value, str) and value.isascii():
            texts.append(value)
            text_of.append(i)
        elif isinstance(value, list) and set(map(type, value)) == {int} and min(value) >= 0 and max(value) < 1 << 40:
            lists.append(value)
            list_of.append(i)
        else:
            good[i] = False
    text_of = np.array(text_of, np.int64)
    runs = [np.array([v for value in lists for v in value], np.int64)]
    owner = [np.repeat(np.array(list_of, np.int64), [len(value) for value in lists])]
    for begin in range(0, len(texts), _PART):
        part_runs, part_owner, sound = _decode_texts(texts[begin : begin + _PART])
        part_of = text_of[begin : begin + _PART]
        good[part_of[~sound]] = False
        runs.append(part_runs)
        owner.append(part_of[part_owner])
    runs, owner = np.concatenate(runs), np.concatenate(owner)
    if not lists:
        return runs, owner, good
    order = np.argsort(owner, kind='stable')
    return runs[order], owner[order], good


def _decode_texts(texts: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Runs, their text, and which texts are sound."""
    lengths = np.array([len(text) for text in texts], np.int64)
    code = np.frombuffer(''.join(texts).encode('ascii'), np.uint8).astype(np.int64) - 48
    text_of = np.repeat(np.arange(len(texts)), lengths)
    last = code & 0x20 == 0
    bad = np.zeros(len(texts), bool)
    bad[text_of[(code < 0) | (code > 63)]] = True
    bad |= lengths == 0
    full = lengths > 0
    bad[full] |= ~last[np.cumsum(lengths)[full] - 1]  # the last number has no end
    begins = np.ones(len(code), bool)  # of a number: after the end of another one, or with a new text
    begins[1:] = last[:-1] | (text_of[1:] != text_of[:-1])
    place = _place(np.cumsum(begins))
    bad[text_of[place >= _LONGEST]] = True
    keep = ~bad[text_of]
    code, text_of, last, place = code[keep], text_of[keep], last[keep], place[keep]
    if not len(code):
        return np.zeros(0, np.int64), np.zeros(0, np.int64), ~bad
    starts = np.flatnonzero(place == 0)
    values = np.add.reduceat((code & 0x1F) << 5 * place, starts)
    negative = code[last] & 0x10 > 0
    values[negative] -= 1 << 5 * (place[last][negative] + 1)
    owner = text_of[starts]

    index = _place(owner)  # number within its text
    chain = (np.where(index == 0, 0, 1 + index % 2) + 3 * owner).astype(
        np.int16
    )  # numbers that are summed: 1, 3, 5 ... and 2, 4, 6 ...
    order = np.argsort(chain, kind='stable')
    total = np.cumsum(values[order])
    begin = np.arange(len(order)) - _place(chain[order])
    runs = np.empty_like(values)
    runs[order] = total - np.where(begin > 0, total[begin - 1], 0)
    bad[owner[runs < 0]] = True
    keep = ~bad[owner]
    return runs[keep], owner[keep], ~bad


def _place(group: np.ndarray) -> np.ndarray:
    """Position of each element within its group of equal neighbours."""
    first = np.concatenate([[True], group[1:] != group[:-1]]) if len(group) else np.zeros(0, bool)
    return np.arange(len(group)) - np.flatnonzero(first)[np.cumsum(first) - 1]


def measure_runs(
    runs: np.ndarray, owner: np.ndarray, heights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Length, area and box of R masks from their runs, which go down the columns, background first.

    Args:
        runs: ``[K]``, sorted by mask, and in order within one.
        owner: ``[K]``, the mask of each run.
        heights: ``[R]``, height of the masks in pixels.

    Returns:
        Number of pixels ``[R]``, pixels of the mask ``[R]``, and its box ``[R, 4]`` as corners, NaN without pixels.
    """
    parts = range(0, max(len(heights), 1), _PART)
    bounds = [*np.searchsorted(owner, parts), len(owner)]
    measured = [
        _measure(runs[begin:end], owner[begin:end] - first, heights[first : first + _PART])
        for first, begin, end in zip(parts, bounds[:-1], bounds[1:], strict=True)
    ]
    return tuple(np.concatenate(values) for values in zip(*measured, strict=True))


def _measure(runs: np.ndarray, owner: np.ndarray, heights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    pixels = np.bincount(owner, runs, len(heights)).astype(np.int64)
    box = np.full((len(heights), 4), np.nan)
    inside = _place(owner) % 2 == 1
    end = np.cumsum(runs)
    before = np.concatenate([[0], np.cumsum(pixels)[:-1]])[owner] if len(owner) else end
    start, end = end - runs - before, end - before - 1  # first and last pixel of each run
    chosen = inside & (runs > 0)
    area = np.bincount(owner[chosen], runs[chosen], len(heights)).astype(np.int64)
    start, end, of = start[chosen], end[chosen], owner[chosen]
    if len(of):
        h = heights[of]
        one_column = start // h == end // h
        top, bottom = np.where(one_column, start % h, 0), np.where(one_column, end % h, h - 1)
        first = np.flatnonzero(np.concatenate([[True], of[1:] != of[:-1]]))
        box[of[first]] = np.column_stack(
            [
                np.minimum.reduceat(start // h, first),
                np.minimum.reduceat(top, first),
                np.maximum.reduceat(end // h, first) + 1,
                np.maximum.reduceat(bottom, first) + 1,
            ]
        )
    return pixels, area, box
