"""From the image as stored to the network's input, as tensor operations: tone mapping, resizing, normalisation."""

from fractions import Fraction

import torch
from mmcv.transforms import LoadAnnotations, LoadImageFromFile, Resize
from mmdet.datasets.transforms import FixShapeResize, PackDetInputs
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmengine.config import Config
from mmengine.dataset import Compose
from torch import Tensor, nn

from ...datasets.transforms.loading import LoadIRImageFromFile
from ...datasets.transforms.tone_mapping import ToneMapping
from ...datasets.wrappers import dataset_for_testing, pipeline_steps
from .graph_tone_mapping import GraphToneMapping
from .sizes import Size, greatest, least

DTYPES = {'uint8': torch.uint8, 'int32': torch.int32, 'float32': torch.float32}
_FINEST = 10_000  # denominator of a factor by which images are resized
_ONE = 2048  # OpenCV weights the pixels of 8-bit images with 11 bits


class GraphInput(nn.Module):
    """What the test pipeline and the data preprocessor do to an image, in a graph.

    Args:
        cfg: Config with the test pipeline.
        preprocessor: Of the model.
        size: Height and width of the images as stored, ``None`` for any. What follows from known sizes is computed
            here, not in the graph: OpenVINO took more than ten minutes to find out that it is constant.

    Attributes:
        channels: Of the input: 1, or 3 (BGR, equal for grey images), as the config's loader gives them.
        dtype: Name of the input's type: ``'uint8'``; ``'int32'`` for counts; ``'float32'`` for temperatures and under
            ``to_float32``.
        tone_mapping: Name and settings of the method, ``None`` without one.

    Raises:
        ValueError: If the pipeline or the preprocessor does what has no exact form in a graph.
    """

    def __init__(self, cfg: Config, preprocessor: DetDataPreprocessor, size: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.size = size
        loader, mapping, self.resizing = _read_pipeline(cfg)
        infrared = isinstance(loader, LoadIRImageFromFile)
        single = loader.channels == 1 if infrared else loader.color_type.startswith('grayscale')
        self.channels = 1 if mapping is not None or single else 3
        self.dtype = 'uint8'
        if loader.to_float32 or (infrared and loader.rjpeg == 'celsius'):
            self.dtype = 'float32'
        elif infrared and loader.raw:
            self.dtype = 'int32'
        if self.resizing is not None and mapping is None and self.dtype != 'uint8':
            raise ValueError(
                f'test pipeline of {cfg.filename}: expected 8-bit values where images are resized, got {self.dtype} '
                f'ones; add ToneMapping, or resize by scale_factor=1.0'
            )
        self.map = None if mapping is None else GraphToneMapping(mapping)
        self.tone_mapping = None if mapping is None else {'method': mapping.method, **self.map.settings}
        self.copies = mapping.channels if mapping is not None else 1
        self.preprocessor = _check_preprocessor(preprocessor, self.channels * self.copies)
        self.resampling = None
        if size is not None and self.resizing is not None:
            self.resampling = Resampling(size, _resized(size, self.resizing), torch.device('cpu'))

    def forward(self, images: Tensor) -> tuple[Tensor, tuple[Size, Size], tuple[Size, Size]]:
        """Prepares a batch.

        Args:
            images: ``[N, channels, H, W]`` as stored, of ``dtype``.

        Returns:
            The network's input ``[N, C, H', W']``, float32, normalised and padded to the right and below; height and
            width of the image in it; height and width of the image as stored.
        """
        size = stored = self.size or (images.shape[2], images.shape[3])
        values = images if self.map is None else self.map(images)
        if self.resizing is not None:
            size = _resized(stored, self.resizing)
            if self.size is None or size != stored:
                values = resize_8bit(values, self.resampling or Resampling(stored, size, images.device))
        values = values.float()
        if self.copies > 1:
            values = values.repeat(1, self.copies, 1, 1)
        processor = self.preprocessor
        if processor._channel_conversion and self.channels * self.copies == 3:
            values = values[:, [2, 1, 0]]
        if processor._enable_normalize:
            values = (values - processor.mean) / processor.std
        return _pad(values, size, processor.pad_size_divisor, processor.pad_value), size, stored


def _pad(images: Tensor, size: tuple[Size, Size], divisor: int, value: float) -> Tensor:
    """Images of ``size`` filled up to the right and below, to multiples of a number.

    By indices: paddings and slices of sizes that are not known make torch.export restrict them to multiples.
    """
    steps = [torch.arange((side + divisor - 1) // divisor * divisor, device=images.device) for side in size]
    for axis, (step, side) in enumerate(zip(steps, size, strict=True), start=2):
        images = images.index_select(axis, step.clamp(max=side - 1))
    inside = (steps[0] < size[0])[:, None] & (steps[1] < size[1])
    return torch.where(inside, images, float(value))


class Resampling:
    """Where each pixel of a resized image comes from.

    Args:
        stored: Height and width of the image.
        size: Height and width wanted.
        device: Of the results.

    Attributes:
        rows: The two rows that each new row lies between, and their weights, see :func:`_neighbours`.
        columns: The same for columns.
    """

    def __init__(self, stored: tuple[Size, Size], size: tuple[Size, Size], device: torch.device) -> None:
        self.rows = _neighbours(stored[0], size[0], device, at_border=False)
        self.columns = _neighbours(stored[1], size[1], device, at_border=True)


def resize_8bit(images: Tensor, resampling: Resampling) -> Tensor:
    """Bilinear resizing with the weights and roundings that OpenCV has for 8 bits.

    Args:
        images: ``[N, C, H, W]``, whole numbers in 0..255.
        resampling: From H and W to the height and width of the result.

    Returns:
        ``[N, C, H', W']`` float32, whole numbers in 0..255.
    """
    values = images.to(torch.int32)
    first, second, weights = resampling.columns
    columns = values[..., first] * weights[0] + values[..., second] * weights[1]
    columns = torch.div(columns, 16, rounding_mode='floor')
    first, second, weights = resampling.rows
    rows = [
        torch.div(columns[:, :, index] * weight[:, None], 2**16, rounding_mode='floor')
        for index, weight in zip((first, second), weights, strict=True)
    ]
    return torch.div(rows[0] + rows[1] + 2, 4, rounding_mode='floor').float()


def _neighbours(
    length: Size, new_length: Size, device: torch.device, at_border: bool
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """The two cells that each new cell lies between, and their weights in 1/2048, each ``[new_length]``.

    Args:
        length: Number of cells.
        new_length: Number of cells wanted.
        device: Of the results.
        at_border: Beyond the middle of the first and the last cell, that cell alone gets the weight.
    """
    step = torch.arange(new_length, device=device, dtype=torch.float64)
    place = ((step + 0.5) * (length / new_length) - 0.5).float()
    first = place.floor()
    part = place - first
    if at_border:
        part = torch.where((first < 0) | (first >= length - 1), 0.0, part)
    weights = ((1 - part) * _ONE).round().to(torch.int32), (part * _ONE).round().to(torch.int32)
    indices = first.to(torch.int64)
    return indices.clamp(0, length - 1), (indices + 1).clamp(0, length - 1), weights


def _resized(size: tuple[Size, Size], transform: Resize) -> tuple[Size, Size]:
    """Height and width after ``Resize``, in whole numbers: ``int(side * factor + 0.5)``."""
    height, width = size
    scale = transform.scale
    if scale is None:
        scale = tuple(
            _times(side, factor) for side, factor in zip((width, height), transform.scale_factor, strict=True)
        )
    if not transform.keep_ratio:
        return scale[1], scale[0]
    long, short = greatest(*scale), least(*scale)
    longer, shorter = greatest(height, width), least(height, width)
    return tuple(
        least((2 * side * long + longer) // (2 * longer), (2 * side * short + shorter) // (2 * shorter))
        for side in size
    )


def _times(side: Size, factor: float) -> Size:
    """``int(side * factor + 0.5)`` in whole numbers."""
    exact = Fraction(factor).limit_denominator(_FINEST)
    return (2 * side * exact.numerator + exact.denominator) // (2 * exact.denominator)


def _read_pipeline(cfg: Config) -> tuple[LoadIRImageFromFile | LoadImageFromFile, ToneMapping | None, Resize | None]:
    """Loader, tone mapping and resizing of the test pipeline; ``None`` for a resizing that changes nothing."""
    loader, *transforms = Compose(pipeline_steps(dataset_for_testing(cfg))).transforms
    if not isinstance(loader, LoadIRImageFromFile | LoadImageFromFile):
        raise ValueError(
            f'test pipeline of {cfg.filename}: expected it to begin with LoadIRImageFromFile, got '
            f'{type(loader).__name__}'
        )
    mapping = resizing = None
    for transform in transforms:
        if isinstance(transform, ToneMapping) and mapping is None and resizing is None:
            mapping = transform
        elif isinstance(transform, Resize) and resizing is None:
            _check_resizing(transform, cfg)
            resizing = transform
        elif not isinstance(transform, LoadAnnotations | PackDetInputs):
            raise ValueError(
                f'test pipeline of {cfg.filename}: expected at most ToneMapping and then Resize, which can be '
                f'exported, got {transform}'
            )
    unchanged = resizing is None or (resizing.scale is None and resizing.scale_factor == (1, 1))
    return loader, mapping, None if unchanged else resizing


def _check_resizing(transform: Resize, cfg: Config) -> None:
    if isinstance(transform, FixShapeResize) and transform.keep_ratio:
        raise ValueError(
            f'test pipeline of {cfg.filename}: FixShapeResize(keep_ratio=True) pads the image, which has no form in a '
            'graph; take Resize, and pad_size_divisor of the data preprocessor'
        )
    if transform.interpolation != 'bilinear' or transform.backend != 'cv2':
        raise ValueError(
            f"test pipeline of {cfg.filename}: Resize: expected interpolation='bilinear' and backend='cv2', got "
            f'{transform.interpolation!r} and {transform.backend!r}'
        )


def _check_preprocessor(preprocessor: nn.Module, channels: int) -> DetDataPreprocessor:
    if type(preprocessor) is not DetDataPreprocessor:
        raise ValueError(f'data_preprocessor: expected DetDataPreprocessor, got {type(preprocessor).__name__}')
    if preprocessor._enable_normalize and preprocessor.mean.numel() not in (1, channels):
        raise ValueError(
            f'data_preprocessor: expected {channels} means, as images have channels, got {preprocessor.mean.numel()}'
        )
    return preprocessor
