"""Writes a trained model as one file for ONNX Runtime, OpenVINO, TorchScript or torch.export."""

import contextlib
import inspect
import json
import logging
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch

from ..apis.inference.inferencer import IRInferencer
from ..engine.config_hash import config_hash
from ..version import __version__
from .backends import METADATA_FILE, METADATA_KEY, SUFFIXES, openvino_core, optional
from .graph.base import OUTPUTS, ExportableDetector
from .graph.exportable import exportable_kind
from .graph.graph_input import DTYPES, GraphInput
from .trial import check_tracing, failing_part, run_exported, runtime_errors, trial_shapes

OPSET = 18  # of ONNX
_EXAMPLE = (2, 256, 320)  # images, height and width that a dynamic model is traced with
_SMALLEST_SIDE = 32
# of a dynamic torch.export program; below, feature maps of one cell would be a case of their own
_SIDES = (128, 8192)
_IMAGES = (1, 1024)
_FRAME = re.compile(r'\.py\(\d+\): ')  # of a stack within a message
_AXES = {'images': {0: 'images', 2: 'height', 3: 'width'}, 'masks': {1: 'mask_height', 2: 'mask_width'}}


def export_model(
    inferencer: IRInferencer,
    out: str | os.PathLike,
    file_format: str,
    *,
    size: tuple[int, int] | None = None,
    batch: int | None = None,
    masks: str | None = None,
) -> dict:
    """Exports the model of an inferencer, on the CPU.

    The file gets its name when it was loaded and has run.

    Args:
        inferencer: Config and weights.
        out: File, with the ending of the format; OpenVINO's weights lie beside it as ``.bin``.
        file_format: A key of ``SUFFIXES``.
        size: Width and height of the images as stored; ``None`` for any.
        batch: Number of images; ``None`` for any.
        masks: ``'raw'`` or ``'pasted'``, see ``ExportableDetector``; by default raw ones where there are.

    Returns:
        The metadata that the file has.

    Raises:
        ValueError: If ending and format do not fit, size or batch is out of range, or the config has something that
            cannot be exported, which the message names.
        ImportError: If the format's library is not installed.

    Example:
        >>> from mmdet_ir.apis import IRInferencer
        >>> from mmdet_ir.deploy import ExportedModel, export_model, verify
        >>> inferencer = IRInferencer('config.py', 'weights.pth', 'cpu', show_progress=False)
        >>> meta = export_model(inferencer, 'model.pt', 'torchscript')
        >>> meta['classes']
        ['human', 'car', 'bicycle', 'uav']
    """
    out = Path(out)
    if file_format not in SUFFIXES:
        raise ValueError(f'format: expected one of {sorted(SUFFIXES)}, got {file_format!r}')
    if out.suffix != SUFFIXES[file_format]:
        raise ValueError(f'{out}: expected a name that ends in {SUFFIXES[file_format]} for {file_format}')
    if size is not None and min(size) < _SMALLEST_SIDE:
        raise ValueError(f'size: expected at least {_SMALLEST_SIDE} pixels a side, got {size}')
    if batch is not None and batch < 1:
        raise ValueError(f'batch: expected at least 1, got {batch}')
    prepare = GraphInput(inferencer.cfg, inferencer.model.data_preprocessor, size and (size[1], size[0]))
    model = exportable_kind(inferencer.model)(inferencer.model, prepare, masks).cpu().eval()
    meta = _metadata(inferencer, model, size, batch)
    width, height = size or _EXAMPLE[:0:-1]
    shape = (batch or _EXAMPLE[0], prepare.channels, height, width)
    example = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0)).to(DTYPES[prepare.dtype])
    axes = [axis for axis, free in ((0, batch is None), (2, size is None), (3, size is None)) if free]
    out.parent.mkdir(parents=True, exist_ok=True)
    shapes = trial_shapes(shape, axes)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f'.{out.name}.') as folder, torch.no_grad():
        if axes and file_format != 'torch-export':  # (which knows by itself what depends on sizes)
            trials = [torch.zeros(other, dtype=example.dtype) for other in shapes[1:]]
            check_tracing(model.detector, [prepare(images)[0] for images in (example, *trials)])
        made = Path(folder, out.name)
        optional({'onnx': 'onnxruntime', 'openvino': 'openvino'}.get(file_format, 'torch'))
        try:
            with _silent():
                _WRITERS[file_format](model, example, axes, made, json.dumps(meta))
                run_exported(made, shapes)
        except runtime_errors() as error:
            with _silent():
                refusal = _refusal(error, file_format, model.detector, prepare(example)[0])
            raise refusal from error
        # (the weights of OpenVINO come first, then what refers to them)
        for file in sorted(Path(folder).iterdir()):
            os.replace(file, out.with_name(file.name))
    return meta


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Drops what exporters write to the screen, past Python's warnings: notes of C++, and graphs of hundreds of lines.

    The errors that they raise say the same; what is not right in the file is found by running it.
    """
    with open(os.devnull, 'w') as nowhere, contextlib.ExitStack() as stack:
        stack.callback(logging.disable, logging.root.manager.disable)
        logging.disable(logging.ERROR)
        for descriptor, stream in ((1, sys.stdout), (2, sys.stderr)):
            stream.flush()
            kept = os.dup(descriptor)
            os.dup2(nowhere.fileno(), descriptor)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, descriptor)
            stack.callback(stream.flush)
        stack.enter_context(contextlib.redirect_stdout(nowhere))
        stack.enter_context(contextlib.redirect_stderr(nowhere))
        yield


def _refusal(error: Exception, file_format: str, detector: torch.nn.Module, inputs: torch.Tensor) -> ValueError:
    """Says which part of the detector the exporter or the runtime cannot hold."""
    if isinstance(error, ValueError) and str(error).startswith(('export: ', 'torch-export of')):
        return error
    with tempfile.TemporaryDirectory() as folder:
        part = failing_part(detector, inputs, partial(_ATTEMPTS[file_format], Path(folder, 'part')))
    others = ', '.join(name for name in SUFFIXES if name != file_format)
    return ValueError(
        f'export: {part or "the model"}: cannot be exported to {file_format} ({_reason(error)}); expected another '
        f'part in its place, or another format ({others})'
    )


def _reason(error: Exception) -> str:
    """The sentence of an exporter's or runtime's message, which comes with graphs and stacks around it."""
    lines = [line for line in str(error).strip().splitlines() if not _FRAME.search(line)] or [type(error).__name__]
    line = next((line for line in reversed(lines) if 'rror' in line or 'FAIL' in line), lines[0])
    return re.split(r'\s*(?:\[Caused by|\.? Please feel free)', line)[0].strip()[:300]


def _metadata(
    inferencer: IRInferencer, model: ExportableDetector, size: tuple[int, int] | None, batch: int | None
) -> dict:
    settings, key = model.mask_threshold(model.detector)
    return {
        'mmdet_ir': __version__,
        'config': Path(inferencer.cfg.filename or '').name,
        'config_sha256': config_hash(inferencer.cfg),
        'classes': list(inferencer.classes),
        'input': {
            'dtype': model.prepare.dtype,
            'batch': batch,
            'channels': model.prepare.channels,
            'height': size and size[1],
            'width': size and size[0],
        },
        'tone_mapping': model.prepare.tone_mapping,
        'resize': model.prepare.resizing
        and {
            key: list(value)
            for key in ('scale', 'scale_factor')
            if (value := getattr(model.prepare.resizing, key)) is not None
        }
        | {'keep_ratio': model.prepare.resizing.keep_ratio},
        'outputs': list(OUTPUTS),
        'masks': model.masks,
        'boxes': 'around the masks' if model.boxes_of_masks else 'predicted',
        'mask_threshold': settings[key],
        **model.thresholds(),
    }


def _write_onnx(model: ExportableDetector, example: torch.Tensor, axes: list[int], path: Path, meta: str) -> None:
    onnx = optional('onnx')
    free = {'images': {axis: name for axis, name in _AXES['images'].items() if axis in axes}}
    free |= {name: {0: 'detections'} for name in OUTPUTS}
    if model.masks == 'pasted' and 2 in axes:
        free['masks'] = {0: 'detections', **_AXES['masks']}
    with warnings.catch_warnings():
        # It warns of every size that becomes a constant, and that it will be replaced; the result is compared.
        warnings.simplefilter('ignore')
        torch.onnx.export(
            model,
            (example,),
            path,
            input_names=['images'],
            output_names=list(OUTPUTS),
            dynamic_axes=free,
            opset_version=OPSET,
            dynamo=False,
        )
    proto = onnx.load(path)
    onnx.helper.set_model_props(proto, {METADATA_KEY: meta})
    onnx.checker.check_model(proto)
    onnx.save(proto, path)


def _write_openvino(model: ExportableDetector, example: torch.Tensor, axes: list[int], path: Path, meta: str) -> None:
    openvino = optional('openvino')
    shape = [-1 if axis in axes else length for axis, length in enumerate(example.shape)]
    converted = openvino.convert_model(_trace(model, example), example_input=(example,), input=[shape])
    # (else they have the names of the trace, such as images.1)
    converted.inputs[0].get_tensor().set_names({'images'})
    for output, name in zip(converted.outputs, OUTPUTS, strict=True):
        output.get_tensor().set_names({name})
    converted.set_rt_info(meta, [METADATA_KEY])
    openvino.save_model(converted, path, compress_to_fp16=False)


def _write_script(model: ExportableDetector, example: torch.Tensor, axes: list[int], path: Path, meta: str) -> None:
    torch.jit.save(_trace(model, example), path, _extra_files={METADATA_FILE: meta})


def _write_program(model: ExportableDetector, example: torch.Tensor, axes: list[int], path: Path, meta: str) -> None:
    dims = {0: torch.export.Dim('images', min=_IMAGES[0], max=_IMAGES[1])}
    for axis, name in ((2, 'height'), (3, 'width')):
        dims[axis] = torch.export.Dim(name, min=_SIDES[0], max=_SIDES[1])
    shapes = ({axis: dim for axis, dim in dims.items() if axis in axes},)
    # (deferred: it cannot prove all that it asks of sizes, such as that 1 is no multiple of a width)
    deferred = 'prefer_deferred_runtime_asserts_over_guards'
    known = deferred in inspect.signature(torch.export.export).parameters
    if axes and not known:
        raise ValueError(
            f'torch-export of any size or number of images: expected a newer torch, got {torch.__version__}, whose '
            f'torch.export.export has no {deferred}; fix both with --size and --batch, or update torch'
        )
    options = {deferred: True} if known else {}
    program = torch.export.export(model, (example,), dynamic_shapes=shapes, strict=False, **options)
    torch.export.save(program, path, extra_files={METADATA_FILE: meta})


def _trace(model: torch.nn.Module, *example: torch.Tensor) -> torch.jit.ScriptModule:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # (as for ONNX)
        return torch.jit.trace(model, example, check_trace=False)


_WRITERS: dict[str, Callable] = {
    'onnx': _write_onnx,
    'openvino': _write_openvino,
    'torchscript': _write_script,
    'torch-export': _write_program,
}


def _try_onnx(path: Path, part: torch.nn.Module, given: tuple) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.onnx.export(part, given, path, opset_version=OPSET, dynamo=False)
    optional('onnxruntime').InferenceSession(str(path), providers=['CPUExecutionProvider'])


def _try_openvino(path: Path, part: torch.nn.Module, given: tuple) -> None:
    openvino = optional('openvino')
    converted = openvino.convert_model(_trace(part, *given), example_input=given)
    openvino_core(openvino).compile_model(converted, 'CPU')


_ATTEMPTS: dict[str, Callable] = {
    'onnx': _try_onnx,
    'openvino': _try_openvino,
    'torchscript': lambda path, part, given: torch.jit.save(_trace(part, *given), path),
    'torch-export': lambda path, part, given: torch.export.export(part, given, strict=False),
}
