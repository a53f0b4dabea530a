"""Exported models under one interface, whatever runs them."""

import importlib
import json
import os
import re
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
import torchvision  # noqa: F401  (its operators are in the files of TorchScript and torch.export)

from ..cli.choices import PRECISIONS, SUFFIXES
from ..datasets.images.values import repeat_channels, require_array, to_single_channel
from ..datasets.transforms.tone_mapping import check_depth
from ..model_zoo import exported_file
from .graph.base import OUTPUTS
from .graph.pasting import paste_binary_masks

METADATA_KEY = 'mmdet_ir'  # in ONNX and OpenVINO files
METADATA_FILE = 'mmdet_ir.json'  # in the archives of PyTorch
# What runs an ONNX file on a device, and what takes over the operators that it lacks.
PROVIDERS = {
    'cpu': ('CPUExecutionProvider',),
    'cuda': ('CUDAExecutionProvider', 'CPUExecutionProvider'),
    'tensorrt': ('TensorrtExecutionProvider', 'CUDAExecutionProvider', 'CPUExecutionProvider'),
}
_DEVICE = re.compile(r'(cpu|cuda|tensorrt)(?::(\d+))?')
Device = tuple[str, int]  # a key of PROVIDERS, and the number of the GPU
Run = Callable[[np.ndarray], Sequence[np.ndarray]]
_TAKEN = {'uint8': ('uint8',), 'int32': ('uint8', 'uint16', 'int32'), 'float32': ('uint8', 'uint16', 'float32')}


class ExportedModel:
    """A file that ``export_model`` wrote, with the runtime that fits its ending.

    Args:
        path: ``.onnx`` (ONNX Runtime), ``.xml`` with ``.bin`` beside it (OpenVINO), ``.pt`` (TorchScript) or ``.pt2``
            (torch.export). The last two are programs, which can write files and run code as soon as they are loaded:
            only from those whom you would let run a script. The name of a model that comes with the package stands
            for its INT8 form.
        threads: For the runtime; defaults to as many as PyTorch uses.
        device: ``'cpu'``; ``'cuda'`` or ``'cuda:1'`` for ``.onnx`` and ``.pt2`` files; ``'tensorrt'`` for ``.onnx``
            files. ONNX Runtime needs its package for GPUs for the last two.
        precision: ``'float32'``; or ``'bfloat16'`` for ``.xml`` files, which is faster on processors that compute in
            it (AMX, AVX-512 BF16) and changes detections a little; what is in INT8 stays so.

    Attributes:
        meta: What the file says about itself, see docs/guide/export.md.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: For another ending, a file without our metadata, or a device that is not there or that cannot run
            this kind of file. What was asked to run on a GPU never runs on the CPU instead.
        ImportError: If the runtime is not installed.

    Example:
        >>> from mmdet_ir.apis import IRInferencer
        >>> from mmdet_ir.deploy import ExportedModel, export_model, verify
        >>> inferencer = IRInferencer('config.py', 'weights.pth', 'cpu', show_progress=False)
        >>> meta = export_model(inferencer, 'model.pt', 'torchscript')
        >>> model = ExportedModel('model.pt')
        >>> found = model.predict([inferencer.read('images/0.png')])[0]
        >>> sorted(found)
        ['boxes', 'labels', 'masks', 'scores']
    """

    def __init__(
        self,
        path: str | os.PathLike,
        threads: int | None = None,
        device: str = 'cpu',
        precision: str = 'float32',
    ) -> None:
        self.path = Path(exported_file(path))
        match = _DEVICE.fullmatch(device)
        if match is None:
            raise ValueError(f'device: expected cpu, cuda, cuda:NUMBER or tensorrt, got {device!r}')
        if not self.path.is_file():
            raise FileNotFoundError(f'exported model not found: expected a file, got {str(path)!r}')
        loaders = dict(zip(SUFFIXES.values(), (_load_onnx, _load_openvino, _load_script, _load_program), strict=True))
        if self.path.suffix not in loaders:
            raise ValueError(f'{path}: expected a name that ends in one of {sorted(loaders)}')
        if precision not in PRECISIONS or (precision != 'float32' and self.path.suffix != SUFFIXES['openvino']):
            raise ValueError(
                f'precision: expected float32, or bfloat16 for an OpenVINO file (.xml), got {precision!r} for '
                f'{self.path}'
            )
        load = loaders[self.path.suffix]
        if precision != 'float32':
            load = partial(load, precision=precision)
        place = match[1], int(match[2] or 0)
        self._run, text = load(self.path, threads or torch.get_num_threads(), place)
        if not text:
            raise ValueError(
                f'{path}: expected a model that tools/deploy/export.py wrote, got one without its metadata'
            )
        try:
            self.meta = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f'{path}: expected metadata in JSON, got something else: {error}') from error

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.meta['classes'])

    def as_input(self, image: np.ndarray, name: str = 'array') -> np.ndarray:
        """An image in the layout of the model's input; values are not changed.

        Args:
            image: ``[H, W]`` or ``[H, W, 3]`` BGR, as the config's loader gives it.
            name: For messages.

        Returns:
            ``[channels, H, W]``.

        Raises:
            TypeError: If it is no array.
            ValueError: If values or size are not what the model takes.
        """
        require_array(image, name)
        wanted = self.meta['input']
        if image.dtype.name not in _TAKEN[wanted['dtype']]:
            raise ValueError(
                f'image {name}: expected {" or ".join(_TAKEN[wanted["dtype"]])}, which {self.path.name} takes, got '
                f'{image.dtype}'
            )
        mapping = dict(self.meta.get('tone_mapping') or {})
        try:
            check_depth(image.dtype, mapping.pop('method', ''), mapping)
        except ValueError as error:
            raise ValueError(f'image {name}: {error}') from error
        if image.dtype.kind == 'f' and not np.isfinite(image).all():
            raise ValueError(f'image {name}: expected finite values, got NaN or infinite ones')
        size = (wanted['height'] or image.shape[0], wanted['width'] or image.shape[1])
        if image.shape[:2] != size:
            raise ValueError(
                f'image {name}: expected height and width {size}, which {self.path.name} was exported for, got '
                f'{image.shape[:2]}'
            )
        if wanted['channels'] == 1:
            image = to_single_channel(image, name)[None]
        else:
            image = (repeat_channels(image, 3) if image.ndim == 2 else image).transpose(2, 0, 1)
        return np.ascontiguousarray(image, dtype=wanted['dtype'])

    def detect(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """The model's own outputs.

        Args:
            images: ``[N, channels, H, W]``, see ``as_input``.

        Returns:
            ``boxes`` ``[D, 4]``, ``scores``, ``labels``, ``image`` ``[D]`` and ``masks``, of all images together; see
            ``ExportableDetector``.

        Raises:
            ValueError: If the model was exported for another number of images.
        """
        batch = self.meta['input']['batch']
        if batch is not None and len(images) != batch:
            raise ValueError(f'{self.path}: expected {batch} images at a time, as exported, got {len(images)}')
        return dict(zip(OUTPUTS, self._run(images), strict=True))

    def predict(self, images: Sequence[np.ndarray]) -> list[dict[str, np.ndarray]]:
        """Detections of images of one size.

        Args:
            images: Each as for ``as_input``.

        Returns:
            For each image ``boxes`` ``[D, 4]`` xyxy in its pixels, ``scores`` ``[D]`` with the best first, ``labels``
            ``[D]`` and ``masks`` bool ``[D, H, W]``.
        """
        found = self.detect(np.stack([self.as_input(image) for image in images]))
        if self.meta['masks'] == 'raw':
            height, width = images[0].shape[:2]
            threshold = self.meta['mask_threshold']
            found['masks'] = paste_binary_masks(found['masks'], found['boxes'], height, width, threshold)
        return [
            {name: values[found['image'] == number] for name, values in found.items() if name != 'image'}
            for number in range(len(images))
        ]


def optional(name: str) -> ModuleType:
    """A library of the extra ``deploy``.

    Raises:
        ImportError: If it is not installed; the message says how to get it.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ImportError(f'{name} is not installed; it comes with: pip install -e ".[deploy]"') from error


def _load_onnx(path: Path, threads: int, device: Device) -> tuple[Run, str]:
    onnxruntime = optional('onnxruntime')
    kind, number = device
    wanted = PROVIDERS[kind]
    available = onnxruntime.get_available_providers()
    if wanted[0] not in available:
        raise ValueError(
            f'{path}: expected an ONNX Runtime with {wanted[0]} for device {kind}, got {onnxruntime.__version__} with '
            f'{", ".join(available)}; `pip uninstall -y onnxruntime && pip install onnxruntime-gpu` brings it'
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    own = {} if kind == 'cpu' else {'device_id': str(number)}
    providers = [(name, {} if name == PROVIDERS['cpu'][0] else own) for name in wanted if name in available]
    session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    if wanted[0] not in session.get_providers():  # it goes on with the CPU where a library of CUDA is missing
        raise ValueError(
            f'{path}: expected {wanted[0]} to start on GPU {number}, but ONNX Runtime offers only '
            f'{", ".join(session.get_providers())}: a library of CUDA, cuDNN or TensorRT that its version '
            f'{onnxruntime.__version__} needs is missing, or there is no such GPU'
        )
    name = session.get_inputs()[0].name
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY, '')
    return lambda images: session.run(list(OUTPUTS), {name: images}), text


@cache
def openvino_core(openvino: ModuleType) -> object:
    """The one ``Core`` of this process, which stays to its end.

    OpenVINO's CPU plugin gives the thread a stack for signals and takes it back at the end of the ``Core``. Of two
    that end in the order in which they began, the second puts the stack of the first back, whose memory is gone: the
    next signal, such as Ctrl-C or the end of a loader's worker, ends the process (seen with OpenVINO 2026.4.1).
    """
    return openvino.Core()


def _load_openvino(path: Path, threads: int, device: Device, precision: str = 'float32') -> tuple[Run, str]:
    _expect_device(path, device, 'OpenVINO', ('cpu',))
    core = openvino_core(optional('openvino'))
    model = core.read_model(path)
    text = str(model.get_rt_info([METADATA_KEY]).value) if model.has_rt_info([METADATA_KEY]) else ''
    # (without the hint some processors compute in bfloat16)
    settings = {'INFERENCE_NUM_THREADS': threads, 'INFERENCE_PRECISION_HINT': PRECISIONS[precision]}
    compiled = core.compile_model(model, 'CPU', settings)

    def run(images: np.ndarray) -> list[np.ndarray]:
        found = compiled(images)
        return [found[name] for name in range(len(OUTPUTS))]

    return run, text


def _load_script(path: Path, threads: int, device: Device) -> tuple[Run, str]:
    _expect_device(path, device, 'TorchScript (a trace holds the device that it was made on)', ('cpu',))
    extra = {METADATA_FILE: ''}
    return _numpy(torch.jit.load(path, 'cpu', _extra_files=extra)), _text(extra)


def _load_program(path: Path, threads: int, device: Device) -> tuple[Run, str]:
    _expect_device(path, device, 'torch.export', ('cpu', 'cuda'))
    kind, number = device
    if kind == 'cuda' and number >= torch.cuda.device_count():
        raise ValueError(
            f'{path}: expected a GPU with the number {number} for device cuda, got {torch.cuda.device_count()} GPU(s) '
            f'that torch {torch.__version__} can use'
        )
    extra = {METADATA_FILE: ''}
    program = torch.export.load(path, extra_files=extra)
    if kind == 'cuda':
        place = f'cuda:{number}'
        program = importlib.import_module('torch.export.passes').move_to_device_pass(program, place)
        return _numpy(program.module(), place), _text(extra)
    return _numpy(program.module()), _text(extra)


def _expect_device(path: Path, device: Device, runtime: str, kinds: Sequence[str]) -> None:
    """Refuses a device on which a runtime does not run our files.

    Raises:
        ValueError: Naming both.
    """
    if device[0] not in kinds:
        raise ValueError(
            f'{path}: expected device {" or ".join(kinds)} for {runtime}, got {device[0]}; export to ONNX for it'
        )


def _text(extra: dict[str, str | bytes]) -> str:
    value = extra[METADATA_FILE]
    return value.decode() if isinstance(value, bytes) else value


def _numpy(module: Callable, device: str = 'cpu') -> Run:
    @torch.no_grad()
    def run(images: np.ndarray) -> list[np.ndarray]:
        return [output.cpu().numpy() for output in module(torch.from_numpy(images).to(device))]

    return run
