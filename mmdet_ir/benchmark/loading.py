"""Throughput of loading and tone mapping, against mmcv's plain loading of 8-bit files."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import cv2
import numpy as np
from mmcv.transforms import Compose, LoadImageFromFile

from ..datasets import LoadIRImageFromFile
from ..datasets.synthetic import generate_scene
from ..datasets.transforms import ToneMapping
from ..markdown import markdown_table

REFERENCE = 'LoadImageFromFile, 8-bit PNG'
KINDS = ('grey.png', 'counts.png', 'counts.tiff', 'counts.npy')


def write_scenes(folder: Path, number: int, size: tuple[int, int]) -> dict[str, list[str]]:
    """Writes synthetic scenes as 8-bit PNG, and their 14-bit counts as PNG, uncompressed TIFF and ``.npy``.

    Returns:
        The files of each kind.
    """
    files = {kind: [str(folder / f'{i}_{kind}') for i in range(number)] for kind in KINDS}
    for i in range(number):
        scene = generate_scene(i, size)
        cv2.imwrite(files['grey.png'][i], scene.image8, [cv2.IMWRITE_PNG_COMPRESSION, 3])
        cv2.imwrite(files['counts.png'][i], scene.counts, [cv2.IMWRITE_PNG_COMPRESSION, 3])
        cv2.imwrite(files['counts.tiff'][i], scene.counts, [cv2.IMWRITE_TIFF_COMPRESSION, 1])
        np.save(files['counts.npy'][i], scene.counts)
    return files


def pipelines() -> dict[str, tuple[str, Callable]]:
    """Name to kind of file and transform; each ends with three channels of 8 bits."""
    counts = LoadIRImageFromFile(channels=1, raw=True)
    rows = {
        REFERENCE: ('grey.png', LoadImageFromFile()),
        'LoadIRImageFromFile, 8-bit PNG': ('grey.png', LoadIRImageFromFile()),
    }
    settings = {'window': {'low': 5000, 'high': 7000}}
    for method in ('linear', 'window', 'percentile', 'plateau', 'clahe', 'detail'):
        mapping = Compose([counts, ToneMapping(method, **settings.get(method, {}))])
        rows[f'{method}, 14-bit PNG'] = ('counts.png', mapping)
    for kind, name in (('counts.tiff', 'uncompressed TIFF'), ('counts.npy', '.npy')):
        rows[f'percentile, {name}'] = (kind, Compose([counts, ToneMapping('percentile')]))
    return rows


def benchmark_loading(size: tuple[int, int] = (640, 512), images: int = 16, repeats: int = 7) -> dict[str, dict]:
    """Measures one core; rows take turns, so that other load on the machine hits all of them.

    Time is CPU time of this process with one thread, the files are in the page cache. So a disk's speed is left out,
    and so is what other processes take.

    Args:
        size: Width and height in pixels.
        images: Number of scenes.
        repeats: Rounds over all scenes; the median round counts.

    Returns:
        Name to ``images_per_second``, ``milliseconds`` an image and ``ratio`` of the throughput to the reference's.
    """
    rows, seconds = pipelines(), {}
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            files = write_scenes(Path(folder), images, size)
            for round_ in range(repeats + 1):
                for name, (kind, transform) in rows.items():
                    start = time.process_time()
                    for path in files[kind]:
                        transform({'img_path': path})
                    elapsed = time.process_time() - start
                    if round_:  # the first one warms up
                        seconds.setdefault(name, []).append(elapsed / images)
    finally:
        cv2.setNumThreads(threads)
    typical = {name: median(values) for name, values in seconds.items()}
    return {
        name: {
            'images_per_second': 1 / value,
            'milliseconds': 1000 * value,
            'ratio': typical[REFERENCE] / value,
        }
        for name, value in typical.items()
    }


def as_table(rows: dict[str, dict]) -> str:
    """Markdown table of a measurement."""
    cells = [
        [name, f'{row["images_per_second"]:.0f}', f'{row["milliseconds"]:.2f}', f'{row["ratio"]:.2f}']
        for name, row in rows.items()
    ]
    return markdown_table(['pipeline', 'images/s and core', 'ms an image', 'of the first'], cells)
