"""The forms in which a detector can do inference, each from an image in memory to masks of the image."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from mmengine.config import Config
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torch._dynamo.utils import counters

from ..apis.inference.inferencer import IRInferencer
from ..cli.choices import EAGER, EXPORTED_FORMS
from ..compat.amp import keep_rois_in_float32
from ..config.options import read_config
from ..config.types import type_name
from ..datasets.wrappers import dataset_for_testing, pipeline_steps
from ..deploy.backends import SUFFIXES, ExportedModel
from ..deploy.export import export_model
from ..deploy.graph.two_stage import ExportableMaskRCNN
from .subject import give_proposals, set_score_threshold
from .torchvision_subject import TorchvisionSubject

# name -> layout, precision, what is compiled
PYTORCH_FORMS = {
    EAGER: (torch.contiguous_format, torch.float32, ''),
    'channels-last': (torch.channels_last, torch.float32, ''),
    'bf16': (torch.contiguous_format, torch.bfloat16, ''),
    'channels-last+bf16': (torch.channels_last, torch.bfloat16, ''),
    'compile': (torch.contiguous_format, torch.float32, 'all'),
    'compile-parts': (torch.contiguous_format, torch.float32, 'parts'),
}
OPENVINO_BF16 = EXPORTED_FORMS[-1]
_QUANTIZED = (b'QuantizeLinear', b'FakeQuantize')  # operators of ONNX and of OpenVINO
Found = dict[str, np.ndarray]


class Form:
    """A detector in one form.

    Attributes:
        detect: Takes a grey image ``[H, W]`` of 8 bits; returns ``boxes`` ``[D, 4]`` xyxy in pixels, ``scores``,
            ``labels`` ``[D]`` and bool ``masks`` ``[D, H, W]``.
        precision: ``'float32'``, ``'bfloat16'`` or ``'int8'``: whose matrix products are its limit.
        note: What else is to be known, once it has run.
    """

    def __init__(self, detect: Callable[[np.ndarray], Found], precision: str, note: Callable[[], str] = str) -> None:
        self.detect = detect
        self.precision = precision
        self._note = note

    @property
    def note(self) -> str:
        return self._note()


def sized_config(config: str, size: tuple[int, int]) -> Config:
    """A config whose test pipeline resizes to ``size`` (width, height) and whose backbone needs no download."""
    cfg = read_config(config)
    cfg.model.backbone.init_cfg = None
    for transform in pipeline_steps(dataset_for_testing(cfg)):
        if type_name(transform) == 'Resize':
            transform.scale = size
    return cfg


def make_inferencer(
    config: str,
    weights: str,
    size: tuple[int, int],
    device: str,
    proposals: list[InstanceData] | None = None,
    score_thr: float | None = None,
) -> IRInferencer:
    """The inferencer of a model as it is measured; arguments as those of ``Subject``."""
    inferencer = IRInferencer(sized_config(config, size), weights, device, show_progress=False)
    if score_thr is not None:
        set_score_threshold(inferencer.model, score_thr)
    if proposals is not None:
        give_proposals(inferencer.model, proposals)
    return inferencer


def pytorch_form(source: IRInferencer | TorchvisionSubject, name: str, device: str) -> Form:
    """A key of :data:`PYTORCH_FORMS`; layers are converted in place."""
    layout, dtype, compiled = PYTORCH_FORMS[name]
    model = source.model.eval()
    model.to(memory_format=layout)
    low = dtype is torch.bfloat16
    if low:
        keep_rois_in_float32(model)
    if compiled:
        compile_model(model, compiled)
    began = time.perf_counter()
    spent: list[float] = []

    def detect(image: np.ndarray) -> Found:
        with torch.autocast(device.split(':')[0], torch.bfloat16) if low else nullcontext():
            found = source.detect(image) if isinstance(source, TorchvisionSubject) else detect_image(source, image)
        spent.append(time.perf_counter() - began)
        return found

    def note() -> str:
        if not compiled:
            return ''
        breaks, graphs = sum(counters['graph_break'].values()), counters['stats']['unique_graphs']
        return f'{graphs} graphs, {breaks} graph breaks, first image after {spent[0]:.0f} s'

    return Form(detect, 'bfloat16' if low else 'float32', note)


def compile_model(model: nn.Module, what: str) -> None:
    """Puts ``torch.compile`` on a detector.

    Args:
        model: MMDetection's or torchvision's.
        what: ``'all'`` for all of its forward, ``'parts'`` for the networks alone: backbone, neck and heads without
            what selects, suppresses and pastes.

    Raises:
        ValueError: If the detector has no such parts.
    """
    if what == 'all':
        model.forward = torch.compile(model.forward)
        return
    if not hasattr(model, 'extract_feat'):
        raise ValueError(f'compile-parts: expected a detector of MMDetection, got {type(model).__name__}')
    model.extract_feat = torch.compile(model.extract_feat)
    roi_head = getattr(model, 'roi_head', None)
    for head in (getattr(model, 'rpn_head', None), getattr(model, 'bbox_head', None)):
        if head is not None:
            head.forward = torch.compile(head.forward)
    for name in ('bbox_head', 'mask_head'):
        head = getattr(roi_head, name, None)
        if head is not None:
            head.forward = torch.compile(head.forward, dynamic=True)  # another number of RoIs each time


def exported_form(path: str | Path, threads: int, device: str = 'cpu', precision: str = 'float32') -> Form:
    """An exported file, ours or one made of it, such as by quantisation; see ``ExportedModel``."""
    model = ExportedModel(path, threads, device, precision)
    quantized = any(word in Path(path).read_bytes() for word in _QUANTIZED)
    return Form(lambda image: model.predict([image])[0], 'int8' if quantized else precision)


def export_form(
    inferencer: IRInferencer, folder: Path, name: str, size: tuple[int, int], proposals: list[InstanceData] | None
) -> Path:
    """Writes a model as one of :data:`EXPORTED_FORMS`, for one image of ``size`` at a time.

    Raises:
        ValueError: If the model cannot be exported.
    """
    kind = 'openvino' if name == OPENVINO_BF16 else name
    path = folder / f'{name}{SUFFIXES[kind]}'
    with nullcontext() if proposals is None else _exported_proposals(proposals[0]):
        export_model(inferencer, path, kind, size=size, batch=1)
    return path


def reference_weights(model: nn.Module, path: Path) -> None:
    """Saves the weights of a model for ``make_inferencer``."""
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, path)


@contextmanager
def _exported_proposals(given: InstanceData) -> Iterator[None]:
    """What :func:`give_proposals` does, within an exported graph."""
    propose = ExportableMaskRCNN._propose

    def propose_as_given(self: ExportableMaskRCNN, features: tuple[Tensor, ...], size: tuple) -> tuple[Tensor, Tensor]:
        boxes, valid = propose(self, features, size)
        # the sum is 0, but it needs the RPN: else the exporters would leave out what nothing depends on
        boxes = given.bboxes[None].to(boxes) + boxes.clamp(0, 0).sum() + valid.float().clamp(0, 0).sum()
        return boxes, boxes.amax(dim=2) >= 0

    with mock.patch.object(ExportableMaskRCNN, '_propose', propose_as_given):
        yield


def detect_image(inferencer: IRInferencer, image: np.ndarray) -> Found:
    """Detections of a grey image ``[H, W]``, as :attr:`Form.detect` gives them."""
    (found,) = inferencer.predict([inferencer.prepare(image, 'image')])
    names = {'boxes': 'bboxes', 'scores': 'scores', 'labels': 'labels', 'masks': 'masks'}
    values = {name: torch.as_tensor(found[field]).cpu() for name, field in names.items()}
    # (under autocast the RPN decodes boxes in bfloat16, which NumPy lacks)
    return {name: (v.float() if v.dtype is torch.bfloat16 else v).numpy() for name, v in values.items()}
