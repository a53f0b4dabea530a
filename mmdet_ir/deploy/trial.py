"""Whether an exported model loads, runs, and holds for other sizes than that of its trace; which part does not."""

import importlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from mmdet.models.detectors import TwoStageDetector
from torch import Tensor, nn

from .backends import ExportedModel

_CLOSE = 1e-3  # of the largest value of a feature map
_OTHER_SIZE = (192, 288)  # height and width, for models of any size


def runtime_errors() -> tuple[type[Exception], ...]:
    """What exporters and runtimes raise for a model that they cannot hold."""
    errors = [RuntimeError, TypeError, ValueError, IndexError, NotImplementedError]
    errors.append(torch.onnx.errors.OnnxExporterError)
    try:
        binding = importlib.import_module('onnxruntime.capi.onnxruntime_pybind11_state')
    except ModuleNotFoundError:
        binding = None
    # (each of its errors is a class of its own)
    errors += [kind for kind in vars(binding or object).values() if isinstance(kind, type) and _is_error(kind)]
    return tuple(errors)


def _is_error(kind: type) -> bool:
    return issubclass(kind, Exception)


def trial_shapes(shape: Sequence[int], free: Sequence[int]) -> list[tuple[int, ...]]:
    """Shapes ``[N, C, H, W]`` to try a model with: the one it was traced with, and another along its free axes."""
    batch, channels, height, width = shape
    if 2 in free:
        height, width = _OTHER_SIZE
    other = (1 if 0 in free else batch, channels, height, width)
    return [tuple(shape), *([other] if other != tuple(shape) else [])]


def run_exported(path: Path, shapes: Sequence[Sequence[int]]) -> None:
    """Loads an exported file and runs it on grey images with a brighter square.

    Raises:
        Exception: What the runtime raises, one of :func:`runtime_errors`.
    """
    exported = ExportedModel(path)
    for shape in shapes:
        images = np.full(shape, 90, exported.meta['input']['dtype'])
        images[..., 8:24, 10:28] = 200
        exported.detect(images)


def check_tracing(detector: TwoStageDetector, inputs: Sequence[Tensor]) -> None:
    """Compares the detector's features with those of a trace, for inputs of other shapes than that of the trace.

    Args:
        detector: In evaluation mode, on the CPU.
        inputs: ``[N, C, H, W]``, normalised and padded; the first is traced.

    Raises:
        ValueError: If a part computes with sizes that it was traced with; the message names it.
    """
    for name, part, *features in parts(detector, inputs):
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # (of sizes that become constants, which is what is looked for)
            traced = torch.jit.trace(part, features[0], check_trace=False)
        for given in features[1:]:
            expected = part(*given)
            try:
                same = all(map(_close, traced(*given), expected))
            except RuntimeError:
                same = False
            if not same:
                raise ValueError(
                    f'export: {name}: its computation depends on the size or number of images that it was exported '
                    f'with; fix both with --size and --batch'
                )


def failing_part(
    detector: TwoStageDetector, inputs: Tensor, attempt: Callable[[nn.Module, tuple], None]
) -> str | None:
    """The first part of a detector that cannot be exported by itself, with what is special about it.

    Args:
        detector: In evaluation mode, on the CPU.
        inputs: ``[N, C, H, W]``, normalised and padded.
        attempt: Exports a module that takes these arguments.
    """
    for name, part, features in parts(detector, [inputs]):
        try:
            attempt(part, features)
        except runtime_errors():
            special = {type(m).__name__ for m in part.modules() if type(m).__module__.startswith('mmcv.ops')}
            return f'{name} with {", ".join(sorted(special))}' if special else name
    return None


class _Part(nn.Module):
    """A backbone or neck that takes its feature maps one by one and returns a tuple."""

    def __init__(self, part: nn.Module, listed: bool) -> None:
        super().__init__()
        self.part, self.listed = part, listed

    def forward(self, *features: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.part(features if self.listed else features[0]))


def parts(detector: TwoStageDetector, inputs: Sequence[Tensor]) -> Iterator[tuple]:
    """Name in the config, module and its arguments for each of the inputs: of the backbone and of each neck."""
    necks = []
    if detector.with_neck:
        several = isinstance(detector.neck, nn.Sequential)
        necks = [(f'model.neck[{i}]', neck) for i, neck in enumerate(detector.neck)] if several else []
        necks = necks or [('model.neck', detector.neck)]
    arguments = [(images,) for images in inputs]
    for name, module in (('model.backbone', detector.backbone), *necks):
        part = _Part(module, listed=module is not detector.backbone).eval()
        yield f'{name} ({type(module).__name__})', part, *arguments
        arguments = [part(*features) for features in arguments]


def _close(got: Tensor, expected: Tensor) -> bool:
    if got.shape != expected.shape:
        return False
    return bool((got - expected).abs().max() <= _CLOSE * expected.abs().max().clamp(min=1e-6))
