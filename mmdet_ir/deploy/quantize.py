"""INT8 models by post-training quantisation with ONNX Runtime."""

import json
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from mmengine.config import Config
from tqdm import tqdm

from ..cli.choices import KEPT
from ..fileio import refuse_overwriting
from .backends import METADATA_KEY, ExportedModel, optional
from .images import open_images
from .trial import run_exported

QUANTIZED = ('Conv', 'Gemm')  # operators; everything else computes in float32


def quantize_model(
    source: str | os.PathLike,
    out: str | os.PathLike,
    cfg: Config,
    *,
    number: int = 100,
    keep: Sequence[str] = KEPT,
    reduce_range: bool = False,
    threads: int | None = None,
) -> dict:
    """Quantises convolutions and fully connected layers: weights to int8 for each channel, activations to uint8.

    The range of each activation is its smallest and largest value over images of the config's training set, taken
    evenly. Images of another size than a model of fixed size takes are passed over.

    Args:
        source: ONNX file that ``export_model`` wrote.
        out: File to write: ``.onnx``, or ``.xml`` (and ``.bin``) for OpenVINO, which runs the same INT8 graph.
        cfg: Config with the training set; its loader has to fit the model.
        number: Calibration images, at most.
        keep: Layers that stay in float32, by parts of their names.
        reduce_range: Weights of 7 bits. On x86 processors without VNNI, ONNX Runtime adds pairs of 8-bit products in
            16 bits, where they saturate; those of 7 bits do not.
        threads: For the runtime; defaults to as many as PyTorch uses.

    Returns:
        The metadata that the file has: the source's, and what was quantised under ``quantization``.

    Raises:
        FileNotFoundError: If there is no such model.
        ValueError: If the model is no ONNX file or is quantised already, ``out`` has another ending or is ``source``,
            no image fits the model, or no layer is left.
        ImportError: If ``onnx`` or ``onnxruntime`` is not installed, or for ``.xml`` ``openvino``.
    """
    onnx = optional('onnx')
    quantization = optional('onnxruntime.quantization')
    out = Path(out)
    refuse_overwriting(out, (source,))
    exported = ExportedModel(source, threads)
    for path, endings in ((exported.path, ('.onnx',)), (out, ('.onnx', '.xml'))):
        if path.suffix not in endings:
            raise ValueError(f'{path}: expected a name that ends in {" or ".join(endings)}')
    if 'quantization' in exported.meta:
        raise ValueError(f'{source}: expected a float32 model, got one that is quantised already')
    nodes = [node.name for node in onnx.load(source).graph.node if node.op_type in QUANTIZED]
    kept = [name for name in nodes if any(part in name for part in keep)]
    if len(kept) == len(nodes):
        raise ValueError(f'{source}: expected layers to quantise, got {len(nodes)}, of which {len(kept)} are kept')
    images = CalibrationImages(cfg, exported, number)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f'.{out.name}.') as folder, _quiet():
        made = Path(folder, f'{out.stem}.onnx')
        quantization.quantize_static(
            str(source),
            str(made),
            images,
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTIZED),
            nodes_to_exclude=kept,
            per_channel=True,
            reduce_range=reduce_range,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        meta = exported.meta | {
            'quantization': {
                'weights': f'int8{" of 7 bits" if reduce_range else ""}, per channel',
                'activations': 'uint8, smallest to largest value',
                'calibration_images': len(images),
                'layers': len(nodes) - len(kept),
                'kept_in_float32': list(keep),
            }
        }
        if out.suffix == '.onnx':
            proto = onnx.load(made)
            onnx.helper.set_model_props(proto, {METADATA_KEY: json.dumps(meta)})
            onnx.save(proto, made)
        else:
            openvino = optional('openvino')
            converted = openvino.convert_model(made)
            converted.set_rt_info(json.dumps(meta), [METADATA_KEY])
            openvino.save_model(converted, Path(folder, out.name), compress_to_fp16=False)
            made.unlink()
        size = exported.meta['input']
        shape = (size['batch'] or 1, size['channels'], size['height'] or 256, size['width'] or 320)
        run_exported(Path(folder, out.name), [shape])  # (a file gets its name when it has run)
        # (the weights of OpenVINO come first, then what refers to them)
        for file in sorted(Path(folder).iterdir()):
            os.replace(file, out.with_name(file.name))
    return meta


class CalibrationImages:
    """Images of a config's training set, in the form that ONNX Runtime's calibration asks for.

    Args:
        cfg: Config with the training set.
        exported: The model.
        number: How many images, at most; taken evenly among those of the size that the model takes.

    Raises:
        ValueError: If no image has that size.
    """

    def __init__(self, cfg: Config, exported: ExportedModel, number: int) -> None:
        self._exported = exported
        self._images, _ = open_images(cfg, 'train', exported)
        wanted = exported.meta['input']
        fitting = [
            index
            for index in range(len(self._images))
            if all(
                wanted[side] in (None, value)
                for side, value in self._images.get_data_info(index).items()
                if side in ('height', 'width')
            )
        ]
        if not fitting:
            raise ValueError(
                f'{cfg.filename}: training set: expected images of {wanted["width"]}x{wanted["height"]} pixels, which '
                f'{exported.path} was exported for, got none'
            )
        places = np.linspace(0, len(fitting) - 1, min(number, len(fitting))).round().astype(int)
        self._chosen = [fitting[place] for place in places]
        self._batch = wanted['batch'] or 1
        self._next = iter(tqdm(self._chosen, desc='calibration', disable=None))

    def __len__(self) -> int:
        return len(self._chosen)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The model's input for the next image, ``None`` after the last."""
        index = next(self._next, None)
        if index is None:
            return None
        image = self._exported.as_input(self._images[index]['img'])
        return {'images': np.repeat(image[None], self._batch, axis=0)}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the advice to optimise the graph first: export has folded BatchNorm and constants."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
