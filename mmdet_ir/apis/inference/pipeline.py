"""The test pipeline of a config, for images that come from anywhere, whole or by parts."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine import fileio
from mmengine.dataset import Compose

from ...datasets.images.image_limits import check_image
from ...datasets.images.tiff_parts import TiffParts
from ...datasets.images.values import repeat_channels, require_array
from ...datasets.transforms.loading import LoadIRImageFromFile
from ...datasets.transforms.tone_mapping import ToneMapping
from .given import check_given
from .overview import MappedParts
from .tiles import Tile


class ImagePipeline:
    """A test pipeline that starts from a path, an array, or a dictionary with ``img`` or ``img_path``."""

    def __init__(self, loader: LoadIRImageFromFile | LoadImageFromFile, transforms: list) -> None:
        self.loader = loader
        self.transforms = transforms

    def __call__(self, given: str | os.PathLike | np.ndarray | dict) -> dict:
        return self._apply(self.transforms, self._load(given))

    def _apply(self, transforms: Sequence, results: dict) -> dict:
        name, size = results.get('img_path') or 'array', results['img'].shape[:2]
        try:
            return Compose(transforms)(results)
        except cv2.error as error:
            raise ValueError(
                f'image {name}: height and width {size} do not pass the test pipeline of the config ({error.err}); '
                f'after resizing, each side needs at least one pixel'
            ) from error

    @property
    def _tone_steps(self) -> int:
        """Number of transforms up to the last tone mapping."""
        steps = [i for i, transform in enumerate(self.transforms) if isinstance(transform, ToneMapping)]
        return steps[-1] + 1 if steps else 0

    def map_tones(self, given: dict) -> tuple[dict, Callable[[dict], dict]]:
        """An image after the tone mapping of the pipeline, and what comes after it.

        Raises:
            ValueError: If the size of the image changes before that.
        """
        number = self._tone_steps
        results = self._load(given)
        size = results['img'].shape[:2]
        results = self._apply(self.transforms[:number], results)
        if results['img'].shape[:2] != size:
            raise ValueError(
                f'tiles: expected ToneMapping before the image changes its size, got {size} before and '
                f'{results["img"].shape[:2]} after it'
            )
        return results, partial(self._apply, self.transforms[number:])

    def map_parts(self, given: dict) -> tuple[dict, Callable[[dict], dict]]:
        """As ``map_tones``, of ``TiffParts``: ``img`` becomes an object whose windows are mapped when they are cut.

        Raises:
            ValueError: If the config does not take such values, or its tone mapping cannot be a table of levels.
        """
        parts, name, loader = given['img'], given['img_path'], self.loader
        steps, rest = self.transforms[: self._tone_steps], self.transforms[self._tone_steps :]
        if len(steps) > 1 or (steps and loader.to_float32):
            names = [type(step).__name__ for step in (loader, *steps)]
            raise ValueError(
                f'image {name}: reading by parts: expected a test pipeline in which one ToneMapping follows the '
                f'loader at once and takes the values of the file, got {names}, to_float32={loader.to_float32}'
            )
        change = self._taking(parts, name)
        if steps:
            change = partial(steps[0].apply_table, steps[0].table(parts.counts, name))
        return {**given, 'img_id': 0, 'img': MappedParts(parts, change)}, partial(self._apply, rest)

    def _taking(self, parts: TiffParts, name: str) -> Callable[[np.ndarray], np.ndarray]:
        """What ``_take`` does with windows of a page, whose values as a whole are checked here."""
        counts = parts.counts
        if not isinstance(self.loader, LoadIRImageFromFile):
            self._take(parts[:1, :1], name)
            return partial(self._take, name=name)
        if parts.dtype == np.uint16:
            self.loader.check_depth(np.flatnonzero(counts).astype(np.uint16), name)
        return partial(self.loader.arrange, name=name)

    def _load(self, given: str | os.PathLike | np.ndarray | dict) -> dict:
        check_given(given)
        if isinstance(given, np.ndarray):
            given = {'img': given, 'img_path': ''}
        elif not isinstance(given, dict):
            given = {'img_path': str(given)}
        results = {'img_id': 0, **given}
        if 'img' in results:
            results['stored_dtype'] = getattr(results['img'], 'dtype', None)
            results['img'] = self._take(results['img'], results.get('img_path') or 'array')
            results['img_shape'] = results['ori_shape'] = results['img'].shape[:2]
        else:
            if not isinstance(self.loader, LoadIRImageFromFile):
                check_8_bits(self.loader, results['img_path'])
            results = self.loader(results)
        return results

    def _take(self, image: np.ndarray, name: str) -> np.ndarray:
        if isinstance(self.loader, LoadIRImageFromFile):
            return self.loader.take(image, name)
        require_array(image, name)
        expected = np.float32 if self.loader.to_float32 else np.uint8
        if image.dtype not in (expected, np.uint8):
            raise _not_8_bits(name, str(image.dtype))
        if self.loader.color_type.startswith('grayscale'):
            colours = image.shape[2:] == (3,)
            image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if colours else np.atleast_3d(image)[..., 0]
        elif image.ndim == 2:
            image = repeat_channels(image, 3)
        return image.astype(expected, copy=False)


def check_8_bits(loader: LoadImageFromFile, path: str | os.PathLike) -> None:
    """Refuses a file of more than 8 bits that MMDetection's loader would cut to 8, and one that is too large.

    Raises:
        OSError: If the file cannot be read.
        ValueError: For such a file.
    """
    local = Path(path).is_file()  # (of which the headers suffice)
    headers = check_image(path if local else fileio.get(path, backend_args=loader.backend_args), path)
    if loader.color_type == 'unchanged' or loader.imdecode_backend == 'tifffile':  # (which cut nothing)
        return
    for header in headers:
        if header.bits > 8:
            raise _not_8_bits(path, f'{header.bits} bits' if header.form != 'f' else 'floating-point values')


def _not_8_bits(name: object, got: str) -> ValueError:
    return ValueError(
        f'image {name}: expected 8 bits, got {got}; other values need LoadIRImageFromFile and ToneMapping in the test '
        f'pipeline of the config'
    )


def part_of(results: dict, tile: Tile) -> dict:
    """The results of a pipeline for a part of the image."""
    image = np.ascontiguousarray(tile.cut(results['img']))
    return {**results, 'img': image, 'img_shape': tile.shape, 'ori_shape': tile.shape}
