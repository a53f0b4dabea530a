"""One model in one form in a process of its own: measured when it is told to, so that processes can take turns.

A process each, so that the peak of its memory is its own, the threads of one library are not in the way of another,
and what fails fails alone. ``python -m mmdet_ir.benchmark.worker JOB`` takes the job as JSON, answers in
lines of JSON, and measures once for each line that it reads.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch.utils.flop_counter import FlopCounterMode

from ..apis.inference.inferencer import IRInferencer
from ..cli.choices import EAGER, TORCHVISION
from .forms import (
    OPENVINO_BF16,
    PYTORCH_FORMS,
    Form,
    export_form,
    exported_form,
    make_inferencer,
    pytorch_form,
    reference_weights,
)
from .subject import PROPOSALS, Subject, interleaved, make_batch, make_proposals
from .torchvision_subject import TorchvisionSubject

PRODUCTS = ('float32', 'bfloat16', 'int8')
IMAGES = 'images.npy'
MODEL = 'model.json'
WEIGHTS = 'weights.pth'
_SIDE = 2048  # of the matrices: 17 G operations, far beyond the caches


@dataclass(frozen=True)
class Trial:
    """What a process does.

    Attributes:
        task: ``prepare`` (random weights, score threshold, operations), ``export``, ``inference``, ``step`` or
            ``product`` (of two matrices).
        model: Config file, or torchvision's model.
        form: Of inference or export.
        folder: Files of the model; that above has the images.
        file: Exported model to measure.
        checkpoint: Weights; ``''`` for random ones.
        size: Width and height of images.
        batch: Images of a training step.
        threads: Of every library.
        device: Of PyTorch.
        seed: Of scenes and proposals.
        repeats: Rounds of matrix products.
    """

    task: str
    model: str
    form: str
    folder: str
    file: str = ''
    checkpoint: str = ''
    size: tuple[int, int] = (640, 512)
    batch: int = 2
    threads: int = 1
    device: str = 'cpu'
    seed: int = 0
    repeats: int = 7

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> 'Trial':
        content = json.loads(text)
        return cls(**{**content, 'size': tuple(content['size'])})


def run(job: Trial) -> tuple[dict, Callable[[], None] | None]:
    """Gets ready.

    Returns:
        What is known now, and what is to be measured, if anything.
    """
    if job.task == 'product':
        return matrix_products(job.repeats, job.device), None
    if job.task == 'prepare':
        return prepare(job), None
    if job.task == 'export':
        if job.model == TORCHVISION:
            raise ValueError(f'export: expected a config, got {TORCHVISION}')
        inferencer = _inferencer(job, 'cpu', None)  # proposals are given in the graph
        proposals = None if job.checkpoint else _proposals(job)
        return {'file': str(export_form(inferencer, Path(job.folder), job.form, job.size, proposals))}, None
    if job.task == 'step':
        subject, batch = _subject(job), make_batch(job.size, job.batch, job.seed)
        action = partial(subject.step, batch)
        action()
        return {'operations': _operations(action)}, action
    images = np.load(Path(job.folder).parent / IMAGES)
    form = _form(job)
    found = [form.detect(image) for image in images]
    save_found(Path(job.folder) / f'{job.form}.npz', found)

    def detect() -> None:
        for image in images:
            form.detect(image)

    detect()
    return {'precision': form.precision, 'note': form.note}, detect


def prepare(job: Trial) -> dict:
    """Weights and score threshold of a model, and the operations of inference: two for a multiplication and addition.

    Returns:
        ``operations`` of an image on average, ``score_threshold`` (``None`` for the config's own).
    """
    folder = Path(job.folder)
    images = np.load(folder.parent / IMAGES)
    subject, threshold = _subject(job), None
    # (the first image sets the threshold for all)
    batch = {**make_batch(job.size, 1, job.seed), 'inputs': [torch.from_numpy(images[0])[None].repeat(3, 1, 1)]}
    if not job.checkpoint:
        threshold = subject.keep_detections(batch)
    settings = {'score_threshold': threshold}
    (folder / MODEL).write_text(json.dumps(settings))
    if job.model != TORCHVISION:
        reference_weights(subject.model, folder / WEIGHTS)
    form = pytorch_form(_source(job), EAGER, job.device)
    settings['operations'] = _operations(lambda: [form.detect(image) for image in images]) / len(images)
    return settings


def matrix_products(repeats: int, device: str) -> dict[str, dict]:
    """Times products of two large square matrices, which take turns.

    Returns:
        For each of :data:`PRODUCTS` ``seconds`` (median) and ``rate``, operations a second; or ``error`` where the
        device has no such product.
    """
    actions, rates = {}, {}
    for dtype in PRODUCTS:
        if dtype == 'int8':
            left, right = torch.randint(-8, 8, (2, _SIDE, _SIDE), dtype=torch.int8, device=device)
            action = partial(torch._int_mm, left, right)  # (the only product of 8-bit integers that PyTorch has)
        else:
            left, right = torch.randn(2, _SIDE, _SIDE, device=device).to(getattr(torch, dtype))
            action = partial(torch.mm, left, right)
        try:
            action()
        except (RuntimeError, NotImplementedError) as error:
            rates[dtype] = {'error': str(error).splitlines()[0]}
        else:
            actions[dtype] = action
    for dtype, seconds in interleaved(actions, repeats, device).items():
        rates[dtype] = {'seconds': seconds, 'rate': 2 * _SIDE**3 / seconds}
    return rates


def save_found(path: Path, found: list[dict[str, np.ndarray]]) -> None:
    """Detections of several images as one file; masks as bits."""
    content = {}
    for number, one in enumerate(found):
        for name, value in one.items():
            content[f'{number}.{name}'] = np.packbits(value, axis=-1) if name == 'masks' else value
    np.savez(path, **content)


def load_found(path: Path, width: int) -> list[dict[str, np.ndarray]]:
    """What :func:`save_found` has saved, of images of ``width``."""
    found: list[dict] = []
    with np.load(path) as content:
        for key in content:
            number, name = key.split('.')
            if int(number) == len(found):
                found.append({})
            value = content[key]
            found[-1][name] = np.unpackbits(value, axis=-1, count=width).astype(bool) if name == 'masks' else value
    return found


def peak_memory(device: str) -> float:
    """MiB of this process at its peak so far; of the GPU's allocator where there is one."""
    if device.startswith('cuda'):
        return torch.cuda.max_memory_allocated() / 2**20
    status = Path('/proc/self/status')
    if status.is_file():  # Linux: `ru_maxrss` would begin with the parent's
        for line in status.read_text().splitlines():
            if line.startswith('VmHWM'):
                return int(line.split()[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def _form(job: Trial) -> Form:
    if job.file:
        precision = 'bfloat16' if job.form == OPENVINO_BF16 else 'float32'
        return exported_form(job.file, job.threads, precision=precision)
    if job.form not in PYTORCH_FORMS:
        raise ValueError(f'form: expected one of {list(PYTORCH_FORMS)} or a file, got {job.form!r}')
    return pytorch_form(_source(job), job.form, job.device)


def _source(job: Trial) -> IRInferencer | TorchvisionSubject:
    if job.model == TORCHVISION:
        return _subject(job)
    return _inferencer(job, job.device, None if job.checkpoint else _proposals(job))


def _inferencer(job: Trial, device: str, proposals: list[InstanceData] | None) -> IRInferencer:
    settings = json.loads((Path(job.folder) / MODEL).read_text())
    weights = job.checkpoint or str(Path(job.folder) / WEIGHTS)
    return make_inferencer(job.model, weights, job.size, device, proposals, settings['score_threshold'])


def _subject(job: Trial) -> Subject:
    proposals = None if job.checkpoint else _proposals(job)
    path = Path(job.folder) / MODEL
    threshold = json.loads(path.read_text())['score_threshold'] if path.is_file() else None
    if job.model == TORCHVISION:
        return TorchvisionSubject(job.size, job.device, proposals, threshold)
    return Subject(job.model, job.device, proposals, threshold, job.checkpoint or None)


def _proposals(job: Trial) -> list[InstanceData]:
    return make_proposals(make_batch(job.size, job.batch, job.seed), PROPOSALS, job.seed)


def _operations(action: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        action()
    return counter.get_total_flops()


def main() -> None:
    job = Trial.from_json(sys.argv[1])
    answers = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)  # what libraries print must not get among the answers

    def answer(**values: object) -> None:
        answers.write(json.dumps(values) + '\n')
        answers.flush()

    torch.set_num_threads(job.threads)
    cv2.setNumThreads(job.threads)
    init_default_scope('mmdet')
    MMLogger.get_current_instance().setLevel('WARNING')
    cuda = job.device.startswith('cuda')
    try:
        known, action = run(job)
        answer(**known, memory=peak_memory(job.device))
        for _ in sys.stdin if action is not None else ():
            start = time.perf_counter()
            action()
            if cuda:
                torch.cuda.synchronize()
            answer(seconds=time.perf_counter() - start)
    except Exception as error:  # (whatever a library raises becomes the reason in the model's row)
        answer(error=f'{type(error).__name__}: {error}'.strip().splitlines()[0])
        raise


if __name__ == '__main__':
    main()
