"""The demo page: upload an infrared image, look at what a model finds, take it home as COCO JSON and CSV.

What the page does stands here in :class:`DemoPage` and needs no browser; ``server`` lays it out and runs it.
"""

import csv
import inspect
import os
import tempfile
import time
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from ...cli.errors import USER_MISTAKES, explain
from ...datasets.images.infrared_io import count_pages
from ...datasets.transforms.loading import LoadIRImageFromFile
from ...datasets.transforms.tone_mapping import METHODS, ToneMapping
from ...datasets.wrappers import build_leaves
from ...visualization.overlay import FoundInstance, draw_instances, find_instances
from ...visualization.picture import as_picture
from ..inference.inferencer import IRInferencer
from ..inference.inputs import Frame, Source
from ..inference.outputs import ResultFiles
from ..inference.overview import small_picture
from ..inference.thresholds import score_thresholds
from ..inference.tiles import parse_tile
from .uploads import check_image_file

FROM_CONFIG = 'config'
TABLE = ('class', 'score', 'area_px', 'mean', 'max', 'unit')  # columns of ResultFiles' CSV that the page shows
DEFAULT_SCORE = 0.3


@dataclass(eq=False)
class Detections:
    """All that a model found in an image, whatever the score, for the threshold to choose from.

    Attributes:
        frame: Image as read, under the name of the upload.
        picture: As the model saw it, ``[H, W, 3]`` uint8, RGB.
        instances: Best first, in pixels of the image.
        seconds: What the model took.
        folder: Of the result files; deleted together with this object.
    """

    frame: Frame
    picture: np.ndarray
    instances: list[FoundInstance]
    seconds: float
    folder: tempfile.TemporaryDirectory


class DemoPage:
    """What the controls of the page do; the model runs in ``detect`` only.

    Args:
        inferencer: Model with its config.
        model_name: For the page and the files' ``info``; no path, since visitors see it.
        folder: Where result files go; the system's temporary folder by default.
    """

    def __init__(
        self, inferencer: IRInferencer, model_name: str = '', folder: str | os.PathLike | None = None
    ) -> None:
        self.inferencer = inferencer
        self.model_name = model_name
        self.folder = folder

    def tone_mappings(self) -> list[tuple[str, str]]:
        """Labels and values of the choices; the first is the config's."""
        mapping = _find_tone_mapping(self.inferencer)
        settings = ', '.join(f'{key}={value}' for key, value in mapping.settings.items()) if mapping else ''
        own = f'{mapping.method} {settings}'.strip() if mapping else 'none, 8-bit pictures'
        return [(f"the config's ({own})", FROM_CONFIG), *((name, name) for name in METHODS)]

    def detect(
        self,
        path: str | None,
        tone_mapping: str = FROM_CONFIG,
        low: float | None = None,
        high: float | None = None,
        page: float | None = 0,
        tile: str | None = '',
    ) -> Detections:
        """Runs the model.

        Args:
            path: The uploaded file.
            tone_mapping: ``'config'``, or a key of ``METHODS`` that takes the place of the config's tone mapping.
            low: Lower end, for ``'window'`` only; in counts, grey levels or the file's unit, in degrees Celsius where
                the config has ``kelvin_per_count``.
            high: Upper end.
            page: Image of a stack, from 0.
            tile: Width and height of the tiles that a large image is cut into, such as ``'640x512'``; empty for the
                whole image at once.

        Raises:
            ValueError: If there is no file, it is no image or too large, or the config or tone mapping refuses it.
                The message holds the file's name, not where the server keeps it.
        """
        if not path:
            raise ValueError('upload an image first')
        name = Path(path).name
        try:
            check_image_file(path)
            inferencer = self._with_tone_mapping(tone_mapping, low, high)
            image, page = self._read(Path(path), page)
            self._check_depth(inferencer, image, name)
            start = time.monotonic()
            instances, picture = self._find(inferencer, image, name, tile)
            seconds = time.monotonic() - start
        except USER_MISTAKES as error:
            raise ValueError(str(error).replace(str(path), name)) from None
        return Detections(
            frame=Frame(Source(Path(name).stem, (Path(name),)), Path(name), image, page, page),
            picture=picture,
            instances=instances,
            seconds=seconds,
            folder=tempfile.TemporaryDirectory(prefix='found_', dir=self.folder),
        )

    def show(self, found: Detections | None, score: float) -> tuple[np.ndarray, str, list[list], str, str]:
        """Draws and writes what scores enough; the model does not run again.

        Args:
            found: Of ``detect``.
            score: Lowest one, 0..1.

        Returns:
            Overlay ``[H, W, 3]`` uint8, RGB; a line about it; rows of ``TABLE``; paths of COCO JSON and CSV.

        Raises:
            ValueError: If there is nothing to show, or the threshold is none.
        """
        if found is None:
            raise ValueError('nothing to show: run the model first (results are deleted after an hour)')
        classes = self.inferencer.classes
        thresholds = score_thresholds([str(score)], classes)
        instances = [item for item in found.instances if item.score >= thresholds[item.label]]
        info = {'model': self.model_name, 'masks': 'predicted', 'score': float(score)}
        results = ResultFiles(Path(found.folder.name), classes, info, self.inferencer.measured)
        try:
            results.add(found.frame, instances)
        finally:
            json_file, csv_file = results.close()
        with csv_file.open(newline='', encoding='utf-8') as file:
            rows = [[_number(row[column]) for column in TABLE] for row in csv.DictReader(file)]
        overlay = draw_instances(found.picture, instances, classes, self.inferencer.colors)
        height, width = found.frame.image.shape[:2]
        line = (
            f'{len(instances)} of {len(found.instances)} detections score {score:.2f} or more. {width}x{height} '
            f'pixels, {found.frame.image.dtype}, model {found.seconds:.1f} s.'
        )
        return overlay, line, rows, str(json_file), str(csv_file)

    def examples(self, number: int = 6) -> list[str]:
        """Paths of images from the config's test set, evenly spread; none where the set is not there or unsound."""
        dataset = self.inferencer.cfg.test_dataloader.dataset
        try:
            parts = build_leaves(dataset, lazy_init=False, test_mode=True)
        except USER_MISTAKES as error:
            print_log(f'No example images: {explain(error)}', logger='current')
            return []
        places = [(part, index) for part in parts for index in range(len(part))]
        chosen = np.linspace(0, len(places) - 1, min(number, len(places))).astype(int) if places else []
        paths = [part.get_data_info(index)['img_path'] for part, index in (places[i] for i in chosen)]
        return [path for path in dict.fromkeys(paths) if Path(path).is_file()]

    def _read(self, path: Path, page: float | None) -> tuple[np.ndarray, int | None]:
        pages = count_pages(path)
        if pages == 1:
            return self.inferencer.read(path), None
        number = int(page or 0)
        if not 0 <= number < pages:
            raise ValueError(f'image {path}: expected a page from 0 to {pages - 1}, got {number}')
        return self.inferencer.read(path, number), number

    def _find(
        self, inferencer: IRInferencer, image: np.ndarray, name: str, tile: str | None
    ) -> tuple[list[FoundInstance], np.ndarray]:
        """Detections of any score, and the picture that the model saw, ``[H, W, 3]`` uint8, RGB."""
        thresholds = np.zeros(len(inferencer.classes))
        if tile:
            instances, seen = inferencer.predict_tiled(image, name, parse_tile(tile), thresholds=thresholds)
            return instances, small_picture(seen, 1)
        data = inferencer.prepare(image, name)
        instances = find_instances(inferencer.predict([data])[0], thresholds)
        return instances, as_picture(data['inputs'], data['data_samples'].metainfo)

    def _with_tone_mapping(self, method: str, low: float | None, high: float | None) -> IRInferencer:
        """The inferencer with another tone mapping in place of the config's; the model is shared."""
        if method == FROM_CONFIG:
            return self.inferencer
        if method not in METHODS:
            raise ValueError(f'tone mapping: expected one of {[FROM_CONFIG, *METHODS]}, got {method!r}')
        old, pipeline = _find_tone_mapping(self.inferencer), copy(self.inferencer.pipeline)
        settings = {}
        if 'low' in needed_settings(METHODS[method]):
            if low is None or high is None:
                raise ValueError(f'tone mapping {method!r}: expected a low and a high end, got {low} and {high}')
            settings = {'low': float(low), 'high': float(high)}
            if old is not None and old.settings.get('kelvin_per_count'):
                settings['kelvin_per_count'] = old.settings['kelvin_per_count']
        if isinstance(pipeline.loader, LoadIRImageFromFile):
            pipeline.loader = copy(pipeline.loader)
            pipeline.loader.raw = True  # counts may pass: they are mapped next
        channels = old.channels if old is not None else getattr(pipeline.loader, 'channels', 3)
        rest = [transform for transform in pipeline.transforms if not isinstance(transform, ToneMapping)]
        pipeline.transforms = [ToneMapping(method, channels, **settings), *rest]
        inferencer = copy(self.inferencer)
        inferencer.pipeline = pipeline
        return inferencer

    def _check_depth(self, inferencer: IRInferencer, image: np.ndarray, name: str) -> None:
        if (
            inferencer is self.inferencer
            and image.dtype != np.uint8
            and not getattr(inferencer.pipeline.loader, 'raw', False)
        ):
            kind = '16-bit counts' if image.dtype == np.uint16 else 'floating-point values'
            raise ValueError(
                f'image {name}: the config takes 8-bit pictures, and this holds {kind}: choose a tone mapping'
            )


def _find_tone_mapping(inferencer: IRInferencer) -> ToneMapping | None:
    return next((item for item in inferencer.pipeline.transforms if isinstance(item, ToneMapping)), None)


def needed_settings(method: Callable | None) -> list[str]:
    """Settings that a tone mapping has no defaults for."""
    parameters = list(inspect.signature(method).parameters.values())[1:] if method is not None else []
    return [parameter.name for parameter in parameters if parameter.default is inspect.Parameter.empty]


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
