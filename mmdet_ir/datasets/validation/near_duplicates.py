"""Near-duplicate images, within a set and across sets, by perceptual hashes."""

import cv2
import numpy as np

from .problem import SHOWN, Problem

SIDE = 32  # pixels of a thumbnail
DISTANCE = 6  # of the 63 bits of a hash may differ
SAME = 0.98  # correlation of the thumbnails from which two candidates are near-duplicates
_BLOCK = 2048
_MANY = 0.02  # share of a block's pairs from which all correlations at once are faster


def thumbnail(image: np.ndarray) -> np.ndarray:
    """``[32, 32]`` float16, zero mean and unit deviation: blind to level and contrast, as to 8 or 16 bits.

    Args:
        image: ``[H, W]`` or ``[H, W, 3]``, any number of bits.
    """
    image = image if image.ndim == 2 else image[..., 1]
    small = cv2.resize(image.astype(np.float32, copy=False), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    small -= small.mean()
    return (small / max(float(small.std()), 1e-6)).astype(np.float16)


def hashes(thumbnails: np.ndarray) -> np.ndarray:
    """Signs of the 63 lowest DCT coefficients against their median, the mean left out.

    Source: Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010, section 3.2.1 (pHash).

    Args:
        thumbnails: ``[N, 32, 32]``.

    Returns:
        ``[N, 63]`` float32, -1 or 1.
    """
    place, order = np.arange(SIDE)[None], np.arange(8)[:, None]
    basis = np.cos(np.pi * order * (2 * place + 1) / (2 * SIDE)).astype(np.float32)
    low = (basis @ thumbnails.astype(np.float32) @ basis.T).reshape(len(thumbnails), 64)[:, 1:]
    return np.where(low > np.median(low, axis=1, keepdims=True), 1, -1).astype(np.float32)


def nearest(a: np.ndarray, b: np.ndarray, earlier_only: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The most similar near-duplicate in ``b`` of each image in ``a``.

    Hashes pick the candidates (all pairs, in blocks), the correlation of the thumbnails decides.

    Args:
        a: Thumbnails, ``[N, 32, 32]``.
        b: Thumbnails, ``[M, 32, 32]``.
        earlier_only: Whether image i of ``a`` is compared with the images before i of ``b`` only.

    Returns:
        Position in ``b``, ``[N]``, -1 without a near-duplicate; and the correlation, ``[N]``.
    """
    position, best = np.full(len(a), -1), np.full(len(a), -1.0)
    hash_a, hash_b = hashes(a), hashes(b)
    flat_a, flat_b = (x.reshape(len(x), SIDE * SIDE) for x in (a, b))
    least = hash_a.shape[1] - 2 * DISTANCE  # of the product of two hashes
    for i in range(0, len(a), _BLOCK):
        for j in range(0, i + 1 if earlier_only else len(b), _BLOCK):
            candidates = hash_a[i : i + _BLOCK] @ hash_b[j : j + _BLOCK].T >= least - 0.5
            if earlier_only and i == j:
                candidates = np.tril(candidates, -1)
            if candidates.mean() > _MANY:  # frames of a camera that does not move
                x, y = (flat[k : k + _BLOCK].astype(np.float32) for flat, k in ((flat_a, i), (flat_b, j)))
                similar = np.where(candidates, x @ y.T / x.shape[1], -1)
                most = similar.argmax(axis=1)
                candidates = np.zeros_like(candidates)
                candidates[np.arange(len(most)), most] = similar[np.arange(len(most)), most] >= SAME
            rows, columns = np.nonzero(candidates)
            rows, columns = rows + i, columns + j
            for k in range(0, len(rows), _BLOCK):
                r, c = rows[k : k + _BLOCK], columns[k : k + _BLOCK]
                similar = np.einsum('np,np->n', flat_a[r].astype(np.float32), flat_b[c].astype(np.float32))
                similar /= flat_a.shape[1]
                order = np.argsort(similar, kind='stable')  # the last assignment to a row is its best
                r, c, similar = r[order], c[order], similar[order]
                better = (similar >= SAME) & (similar > best[r])
                best[r[better]], position[r[better]] = similar[better], c[better]
    return position, best


def check_within(names: list[str], thumbnails: np.ndarray) -> list[Problem]:
    """Images that look like an earlier one of the same set."""
    position, _ = nearest(thumbnails, thumbnails, earlier_only=True)
    copies = np.flatnonzero(position >= 0)
    if not len(copies):
        return []
    text = f'{len(copies)} of {len(names)} images look like another one of the set: {_pairs(names, names, position)}'
    remedy = 'nothing for frames of a recording; they add little, and must not be spread over splits'
    return [Problem('near-duplicates', 'note', text, remedy, tuple(names[i] for i in copies), 'file')]


def check_across(
    first: str, names_a: list[str], a: np.ndarray, second: str, names_b: list[str], b: np.ndarray
) -> list[Problem]:
    """Images of the second set that look like one of the first."""
    position, _ = nearest(b, a)
    copies = np.flatnonzero(position >= 0)
    if not len(copies):
        return []
    text = (
        f'{len(copies)} of {len(names_b)} images of {second} look like an image of {first}: '
        f'{_pairs(names_b, names_a, position)}'
    )
    remedy = 'split by recording, never by frame (tools/data/split.py --group-by): scores on copies mean nothing'
    names = tuple(names_b[i] for i in copies)
    return [Problem('near-duplicates-across', 'warning', text, remedy, names, 'file')]


def _pairs(names: list[str], others: list[str], position: np.ndarray) -> str:
    found = np.flatnonzero(position >= 0)
    more = f' and {len(found) - SHOWN} more' if len(found) > SHOWN else ''
    return ', '.join(f'{names[i]} ~ {others[position[i]]}' for i in found[:SHOWN].tolist()) + more
