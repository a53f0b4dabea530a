"""One range for a whole data set, for ``ToneMapping(method='window')``."""

import numpy as np
from mmengine.config import ConfigDict
from tqdm import tqdm

from ...config.types import type_name
from ..wrappers import build_leaves, leaves
from .values import depth_of, require_one_depth, to_single_channel

_REMEDY = (
    'tools/data/convert.py --depth makes a data set of one depth, and the methods of ToneMapping other than "window" '
    'measure each image by itself'
)


def measure_window(
    dataset: ConfigDict, low: float = 0.5, high: float = 99.7, pixels: int = 4096, seed: int = 0
) -> tuple[float, float]:
    """Percentiles over all images of a data set.

    Args:
        dataset: Config of the data set, in any wrappers; of its pipeline only the loading counts, and each image once.
        low: Lower percentile, 0 to 100.
        high: Upper percentile.
        pixels: Number of pixels that are drawn at random from each image.
        seed: Of the draw.

    Returns:
        The percentiles, in the unit of the images.

    Raises:
        ValueError: For other percentiles than ``0 <= low < high <= 100``, a pipeline that does not begin with
            ``LoadIRImageFromFile``, images of different depths, or images without any contrast.
    """
    if not 0 <= low < high <= 100:
        raise ValueError(f'expected percentiles 0 <= low < high <= 100, got low={low} and high={high}')
    items = []
    for leaf in leaves(dataset):
        first = type_name(leaf.pipeline[0])
        if first != 'LoadIRImageFromFile':
            raise ValueError(f'pipeline: expected LoadIRImageFromFile first, got {first}')
        load = {**leaf.pipeline[0], 'to_float32': False}  # (the values as the files have them)
        (built,) = build_leaves(leaf, pipeline=[load], test_mode=True)
        items += [(built, index) for index in range(len(built))]
    rng, drawn, depths = np.random.default_rng(seed), [], {}
    for built, index in tqdm(items, desc='images'):
        item = built[index]
        depths.setdefault(depth_of(item['img']), item['img_path'])
        require_one_depth(depths, _REMEDY)
        values = to_single_channel(item['img'], item['img_path']).ravel()
        drawn.append(values[rng.integers(0, values.size, pixels)].astype(np.float32))
    bottom, top = (float(value) for value in np.percentile(np.concatenate(drawn), (low, high)))
    if not top > bottom:
        raise ValueError(f'expected images with contrast, got {bottom} for both percentiles')
    return bottom, top
