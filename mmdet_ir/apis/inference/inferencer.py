"""Inference on files and arrays, exactly as evaluation does it."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from itertools import count, islice
from pathlib import Path

import numpy as np
import torch
from mmcv.transforms import LoadAnnotations, LoadImageFromFile
from mmdet.apis import DetInferencer
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.structures import InstanceData
from mmengine.visualization import Visualizer
from torch import nn

from ...binary_masks import binary_masks
from ...config.options import refuse_variables, with_options
from ...config.types import type_name, with_type_names
from ...datasets.images.files import grey_levels
from ...datasets.images.image_limits import ImageTooLargeError
from ...datasets.images.infrared_io import read_infrared
from ...datasets.images.tiff_parts import TiffParts, open_parts
from ...datasets.transforms.loading import LoadIRImageFromFile
from ...datasets.transforms.tone_mapping import ZERO_CELSIUS, ToneMapping
from ...datasets.wrappers import dataset_for_testing, pipeline_steps
from ...engine.fitting.weights import fit_detector, require_checkpoint
from ...fileio import require_path, unique_name
from ...model_zoo import model_names
from ...palette import palette_for
from ...visualization.overlay import FoundInstance, draw_instances, find_instances, write_picture
from ...visualization.picture import as_picture
from ..launch import load_config
from .devices import usable_device
from .given import check_prepared, list_images, name_of
from .overview import MappedParts
from .pipeline import ImagePipeline, check_8_bits, part_of
from .tiles import Tile, join, place, plan_tiles


class IRInferencer(DetInferencer):
    """MMDetection's ``DetInferencer`` with the test pipeline of the config as it is, tone mapping included.

    Calling it works as there, on paths, folders and arrays; it draws on what the model saw. ``read``, ``prepare`` and
    ``predict`` are the steps for those who bring their own loop.

    Arrays are uint8 (``[H, W]`` or ``[H, W, 3]`` BGR), uint16 counts or floating-point numbers, and pass the same
    checks as files do: what the config's ``LoadIRImageFromFile`` refuses in a file, it refuses in an array.

    Args:
        model: Config, as a file or read; or the name of a model that comes with the package.
        weights: Checkpoint, file or URL; it has to fit the config. A model that has a name brings its own.
        device: Such as ``'cpu'`` or ``'cuda:1'``; defaults to the GPU if there is one.
        palette: Of ``DetInferencer``; ``'none'`` takes the config's colours.
        show_progress: Whether calling it shows a progress bar.
        cfg_options: Settings that replace the config's.

    Raises:
        FileNotFoundError: If config or checkpoint is missing.
        TypeError: If they are no paths; calls refuse images that are neither paths nor arrays in the same way.
        ValueError: If the checkpoint does not fit the config or is refused as unsafe, the device is not there, or the
            test pipeline has no transform that loads image files.

    Example:
        >>> from mmdet_ir.apis import IRInferencer
        >>> inferencer = IRInferencer('config.py', 'weights.pth', 'cpu', show_progress=False)
        >>> image = inferencer.read('images/0.png')  # as stored: 14-bit counts
        >>> found = inferencer.predict([inferencer.prepare(image, 'images/0.png')])[0]
        >>> found.masks.shape[1:], image.dtype
        (torch.Size([60, 88]), dtype('uint16'))
    """

    def __init__(
        self,
        model: str | os.PathLike | Config,
        weights: str | os.PathLike | None = None,
        device: str | None = None,
        palette: str = 'none',
        show_progress: bool = True,
        cfg_options: dict | None = None,
    ) -> None:
        device = usable_device(device)
        if not isinstance(model, Config):
            require_path(model, 'config', ' or a Config')
        if weights is not None:
            require_path(weights, 'checkpoint')
        if weights is None:
            if isinstance(model, Config) or str(model) not in model_names():
                raise ValueError(f'expected weights, or one of the models {model_names()}, got the config alone')
            weights = model
        if isinstance(model, Config):
            cfg = with_type_names(deepcopy(model))
            refuse_variables(cfg, cfg_options)
            with_options(cfg, cfg_options)
        else:
            cfg = load_config(str(model), cfg_options)
        self._saved: dict[tuple[str, str], str] = {}  # names of pictures, by folder and input
        self._taken: dict[str, set[str]] = {}
        self._numbers = count()  # of all images, for the names of arrays
        self._names = str(cfg.filename or 'the config'), str(weights)
        super().__init__(cfg, require_checkpoint(str(weights)), device, palette=palette, show_progress=show_progress)
        if any(type_name(hook) == 'ChannelsLastHook' for hook in cfg.get('custom_hooks') or ()):
            self.model.to(memory_format=torch.channels_last)  # as testing does: it changes the last bits

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.model.dataset_meta['classes'])

    @property
    def colors(self) -> list[tuple[int, int, int]]:
        """RGB in 0..255, by label."""
        return palette_for(len(self.classes), self.model.dataset_meta.get('palette'))

    def read(self, path: str | os.PathLike, page: int | None = None, by_parts: bool = False) -> np.ndarray | TiffParts:
        """Reads an image file as the config's loader does, before anything is done to its values.

        Args:
            path: File.
            page: Which image of a stack, from 0.
            by_parts: Opens a TIFF page of more pixels than ``image_limits`` allows, for ``predict_tiled``, in place of
                refusing it.

        Raises:
            FileNotFoundError: If there is no such file.
            ImportError: If a page is to be read by parts and tifffile is not installed.
            ValueError: If it cannot be read.
        """
        require_path(path)
        if page and not isinstance(self.pipeline.loader, LoadIRImageFromFile):
            raise ValueError(f'image {path}: a stack needs LoadIRImageFromFile in the test pipeline of the config')
        if by_parts and getattr(self.pipeline.loader, 'backend_args', None) is None:
            parts = open_parts(path, page)
            if parts is not None:
                return parts
        try:
            return self._read(path, page)
        except ImageTooLargeError as error:
            if by_parts or Path(path).suffix.lower() not in ('.tif', '.tiff'):
                raise
            raise ImageTooLargeError(f'{error}; tools/infer.py --tile 640x512 reads a TIFF by parts') from error

    def _read(self, path: str | os.PathLike, page: int | None) -> np.ndarray:
        loader = self.pipeline.loader
        if isinstance(loader, LoadIRImageFromFile):
            return read_infrared(path, page=page, **loader.reading)
        try:
            check_8_bits(loader, path)
            return loader({'img_path': str(path)})['img']
        except (AttributeError, OSError) as error:  # (what OpenCV cannot decode arrives there as None)
            raise ValueError(f'cannot read image {path}: {error}') from error

    def prepare(self, image: np.ndarray, name: str | os.PathLike) -> dict:
        """Runs the test pipeline on an image that ``read`` has returned, or that comes from elsewhere.

        Args:
            image: See the class.
            name: For messages and as ``img_path``.

        Returns:
            ``inputs`` ``[C, h, w]`` and ``data_samples``, for ``predict``.

        Raises:
            ValueError: If the config does not take such values; see ``LoadIRImageFromFile``.
        """
        return self.pipeline({'img': image, 'img_path': str(name)})

    @torch.inference_mode()
    def predict(self, batch: Sequence[dict]) -> list[InstanceData]:
        """Detections of a batch of prepared images.

        Args:
            batch: As ``prepare`` returns them; images of one size give what they give alone, up to rounding.

        Returns:
            For each image ``bboxes`` ``[N, 4]`` xyxy in pixels of the original image, ``scores``, ``labels`` and
            ``masks`` ``[N, H, W]`` bool.

        Raises:
            ValueError: If the model predicts no masks, or masks of probabilities.
        """
        found = [sample.pred_instances for sample in self.forward(self.collate_fn(check_prepared(batch)))]
        if any('masks' not in instances for instances in found):
            raise ValueError(f'{self._names[0]}: expected a model that predicts masks, got one for boxes only')
        return found

    def predict_tiled(
        self,
        image: np.ndarray | TiffParts,
        name: str | os.PathLike,
        tile: tuple[int, int],
        overlap: float = 0.2,
        thresholds: np.ndarray | None = None,
        batch_size: int = 1,
        on_tile: Callable[[], object] = lambda: None,
    ) -> tuple[list[FoundInstance], np.ndarray | MappedParts]:
        """Detections of a large image, tile by tile: small targets keep their size, and the memory is that of a tile.

        The tone mapping of the config sees the whole image, as it does elsewhere; what the test pipeline does after it
        happens to each tile. Targets that a seam cuts are joined, see ``tiles.join``.

        Args:
            image: See the class; or a page that ``read`` has opened by parts, which is never in memory as a whole.
            name: For messages.
            tile: Width and height in pixels; an image that is smaller is one tile.
            overlap: Share of a tile that its neighbour sees, too; targets should fit into it.
            thresholds: Lowest score of each class; default 0.3.
            batch_size: Tiles that are predicted together.
            on_tile: Called after each tile.

        Returns:
            Detections in pixels of the image, best first, and the picture that the model saw, uint8 ``[H, W]`` or
            ``[H, W, 3]`` (BGR); of a page by parts, an object whose windows are such pictures.

        Raises:
            ValueError: For an overlap out of its range, values that the config does not take, a pipeline that resizes
                before it maps tones, or for a page by parts changes the image in another way before that.
        """
        thresholds = np.full(len(self.classes), 0.3) if thresholds is None else thresholds
        map_tones = self.pipeline.map_parts if isinstance(image, TiffParts) else self.pipeline.map_tones
        mapped, rest = map_tones({'img': image, 'img_path': str(name)})
        size = mapped['img'].shape[:2]
        found: list[tuple[FoundInstance, Tile]] = []
        tiles = plan_tiles(size, tile, overlap)
        waiting = iter(tiles)
        while chunk := list(islice(waiting, batch_size)):
            batch = [rest(part_of(mapped, part)) for part in chunk]
            for part, prediction in zip(chunk, self.predict(batch), strict=True):
                instances = find_instances(prediction, thresholds)
                found += [(place(instance, part, size), part) for instance in instances]
                on_tile()
        return join(found, size, tiles), mapped['img']

    def forward(self, inputs: dict | tuple, **kwargs) -> list[DetDataSample]:
        """Samples of a collated batch, with masks of pixels only; see ``binary_masks``."""
        samples = super().forward(inputs, **kwargs)
        for instances in (sample.pred_instances for sample in samples):
            if 'masks' in instances:
                instances.masks = binary_masks(instances.masks, self._names[0])
        return samples

    def measured(self, image: np.ndarray, name: str | os.PathLike = '') -> tuple[np.ndarray, str]:
        """Values to report of an image that ``read`` has returned, or of a part of it.

        Args:
            image: Any part of the image; colours are ``[..., 3]``.
            name: Of the file.

        Returns:
            Values in the shape of the image without its colours, and their unit: ``'grey'`` levels of 8 bits;
            ``'counts'``; ``'celsius'`` from R-JPEG under ``rjpeg='celsius'``, or from counts if the tone mapping has
            ``kelvin_per_count``; ``'stored'`` for other floating-point values, in the unit of the file.
        """
        if image.dtype == np.uint8:
            return grey_levels(image), 'grey'
        loader = self.pipeline.loader
        if image.dtype == np.uint16:
            for transform in self.pipeline.transforms:
                factor = getattr(transform, 'settings', {}).get('kelvin_per_count')
                if isinstance(transform, ToneMapping) and factor:
                    return image * float(factor) - ZERO_CELSIUS, 'celsius'
            return image, 'counts'
        from_rjpeg = getattr(loader, 'rjpeg', '') == 'celsius' and Path(name).suffix.lower() in ('.jpg', '.jpeg')
        return image, 'celsius' if from_rjpeg else 'stored'

    def _inputs_to_list(self, inputs: object) -> list:
        return list_images(inputs)

    def preprocess(self, inputs: Iterable, batch_size: int = 1) -> Iterator[tuple[list, dict]]:
        """Batches, each with the names and pictures (RGB, as the model saw them) that ``visualize`` asks for."""
        inputs = iter(inputs)
        while chunk := list(islice(inputs, batch_size)):
            data = [self.pipeline(single) for single in chunk]
            names = [name_of(single) or f'{number:08d}' for single, number in zip(chunk, self._numbers, strict=False)]
            pages = [single.get('page') if isinstance(single, dict) else None for single in chunk]
            for single, name, page in zip(data, names, pages, strict=True):
                single['data_samples'].set_metainfo({'img_path': name, 'page': page})
            pictures = [as_picture(single['inputs'], single['data_samples'].metainfo) for single in data]
            places = list(map(_place, names, pages))
            yield list(zip(places, pictures, strict=True)), self.collate_fn(data)

    def visualize(
        self,
        inputs: list[tuple[str, np.ndarray]],
        preds: list,
        return_vis: bool = False,
        show: bool = False,
        wait_time: int = 0,
        draw_pred: bool = True,
        pred_score_thr: float = 0.3,
        no_save_vis: bool = False,
        img_out_dir: str = '',
    ) -> list[np.ndarray] | None:
        """Draws as ``tools/infer.py`` does; arguments and results are those of ``DetInferencer``."""
        save = bool(img_out_dir) and not no_save_vis
        if not (show or save or return_vis):
            return None
        drawn = []
        for (name, picture), sample in zip(inputs, preds, strict=True):
            instances: list[FoundInstance] = []
            if draw_pred:
                thresholds = np.full(len(self.classes), pred_score_thr)
                instances = find_instances(sample.pred_instances, thresholds)
            drawn.append(draw_instances(picture, instances, self.classes, self.colors))
            if save:
                write_picture(Path(img_out_dir, 'vis', self._picture_name(img_out_dir, name)), drawn[-1])
            if show:
                self.visualizer.show(drawn[-1], win_name=Path(name).name, wait_time=wait_time)
            self.num_visualized_imgs += 1
        return drawn

    def pred2dict(self, data_sample: DetDataSample, pred_out_dir: str = '') -> dict:
        """As ``DetInferencer`` does it, but the file has the name of the picture: no image replaces another one's."""
        if pred_out_dir:
            meta = data_sample.metainfo
            name = _place(meta.get('img_path') or f'{next(self._numbers):08d}', meta.get('page'))
            data_sample.set_metainfo({'img_path': self._picture_name(pred_out_dir, name)})
        return super().pred2dict(data_sample, pred_out_dir)

    def _picture_name(self, folder: str, name: str) -> str:
        """Name of an image's picture in a folder, by the image's place or number: always the same for one image."""
        if (folder, name) not in self._saved:
            taken = self._taken.setdefault(folder, set())
            self._saved[folder, name] = unique_name(Path(name).stem + '.png', taken)
        return self._saved[folder, name]

    def _load_weights_to_model(self, model: nn.Module, checkpoint: dict, cfg: Config) -> None:
        fit_detector(model, checkpoint, cfg, self._names[1])
        if self.palette != 'none':
            model.dataset_meta['palette'] = self.palette

    def _init_collate(self, cfg: Config) -> Callable:
        # (mmengine's would look for a name in ``collate_fn``, where its runner takes a dictionary)
        return pseudo_collate

    def _init_visualizer(self, cfg: Config) -> Visualizer | None:
        if 'visualizer' not in cfg:
            return None
        cfg.visualizer.vis_backends = None  # it shows pictures and logs nothing
        return super()._init_visualizer(cfg)

    def _init_pipeline(self, cfg: Config) -> ImagePipeline:
        transforms = Compose(pipeline_steps(dataset_for_testing(cfg))).transforms
        if not transforms or not isinstance(transforms[0], LoadIRImageFromFile | LoadImageFromFile):
            raise ValueError(
                f'{self._names[0]}: expected a test pipeline that begins with LoadIRImageFromFile or '
                f'LoadImageFromFile, got {[type(t).__name__ for t in transforms]}'
            )
        return ImagePipeline(transforms[0], [t for t in transforms[1:] if not isinstance(t, LoadAnnotations)])


def _place(name: str, page: int | None) -> str:
    """What tells an image from others: its path or number, and its page of a stack."""
    return name if page is None else f'{name} {page}'
