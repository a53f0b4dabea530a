"""The full method beside stock Mask R-CNN on a GPU: training step, inference and memory, by batch and precision."""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.runner import Runner

from ..config.options import read_config
from .forms import compile_model
from .subject import PROPOSALS, Subject, interleaved, make_batch, make_proposals

STOCK, FULL = 'configs/ir/mask_rcnn.py', 'configs/ir/mask_rcnn_bnsa_focalsiou_mbcedicels.py'
GOALS = {'step': 1.10, 'inference': 1.06, 'memory': 1.10}  # of the full method to stock Mask R-CNN, at most
PRECISIONS = {
    'fp32': (None, 'OptimWrapper'),
    'fp16': (torch.float16, 'AmpOptimWrapper'),
    'bf16': (torch.bfloat16, 'Bf16OptimWrapper'),
}


class Measured:
    """A model in one precision with a batch on its device.

    Args:
        subject: Model and optimizer.
        batch: Of ``make_batch``.
        precision: A key of :data:`PRECISIONS`.
        device: Where all is.
    """

    def __init__(self, subject: Subject, batch: dict, precision: str, device: str) -> None:
        self.model = subject.model
        self.dtype, wrapper = PRECISIONS[precision]
        self.device = device.split(':')[0]
        settings = {'type': wrapper, 'optimizer': {'type': 'SGD', 'lr': 1e-4, 'momentum': 0.9}}
        self.wrapper: OptimWrapper = build_optim_wrapper(self.model, settings)
        # (once: Mask R-CNN changes nothing in a prepared batch)
        self.training, self.testing = (subject.preprocess(batch, training=mode) for mode in (True, False))

    def step(self) -> None:
        self.model.train()
        MessageHub.get_current_instance().update_info('iter', 0)
        with self.wrapper.optim_context(self.model):
            loss, _ = self.model.parse_losses(self.model(**self.training, mode='loss'))
        self.wrapper.update_params(loss)

    @torch.inference_mode()
    def inference(self) -> None:
        self.model.eval()
        with nullcontext() if self.dtype is None else torch.autocast(self.device, self.dtype):
            self.model(**self.testing, mode='predict')

    def own_bytes(self) -> int:
        """Of parameters, buffers, gradients and the optimizer's state."""
        tensors = [*self.model.parameters(), *self.model.buffers()]
        tensors += [p.grad for p in self.model.parameters() if p.grad is not None]
        for state in self.wrapper.optimizer.state.values():
            tensors += [value for value in state.values() if isinstance(value, torch.Tensor)]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def peak_bytes(measured: Measured, action: Callable[[], None]) -> int | None:
    """The largest memory that a model alone takes for an action; what else lies on the GPU is not counted."""
    if measured.device != 'cuda':
        return None
    torch.cuda.synchronize()
    others = torch.cuda.memory_allocated() - measured.own_bytes()
    torch.cuda.reset_peak_memory_stats()
    action()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - others


def compare_models(
    size: tuple[int, int],
    batches: Sequence[int],
    device: str,
    repeats: int,
    keep: Callable[[list[dict]], None] = lambda rows: None,
    models: tuple[str, str] = (STOCK, FULL),
) -> list[dict]:
    """Times both models in turns, for every batch and precision.

    Args:
        size: Width and height of the images.
        batches: Numbers of images of a step and of an inference.
        device: Such as ``'cuda'``.
        repeats: Timed rounds.
        keep: Is given the rows so far after each combination.
        models: Configs; ratios are those of the second to the first.

    Returns:
        Rows with ``what`` (``step`` or ``inference``), ``precision``, ``batch`` and either ``error``, or ``seconds``
        and ``memory`` (MiB) of both, their ``ratio`` and ``memory_ratio``, and ``met``: whether both goals are.
    """
    rows: list[dict] = []
    for batch_size in batches:
        batch = make_batch(size, batch_size, 0)
        proposals = make_proposals(batch, PROPOSALS, 0)
        subjects = [Subject(model, device, proposals) for model in models]
        for subject in subjects:
            subject.keep_detections(batch)
        for precision in PRECISIONS:
            if precision == 'fp16' and not device.startswith('cuda'):
                continue  # loss scaling needs a GPU
            for what in ('step', 'inference'):
                row = {'what': what, 'precision': precision, 'batch': batch_size}
                try:
                    row |= _compare(subjects, batch, precision, device, what, repeats)
                except torch.OutOfMemoryError as error:
                    row['error'] = str(error).split('. ')[0]
                    torch.cuda.empty_cache()
                rows.append(row)
                keep(rows)
        del subjects
    return rows


def _compare(
    subjects: Sequence[Subject], batch: dict, precision: str, device: str, what: str, repeats: int
) -> dict[str, object]:
    both = [Measured(subject, batch, precision, device) for subject in subjects]
    actions = [getattr(measured, what) for measured in both]
    for action in actions:
        action()
    times = list(interleaved({str(i): action for i, action in enumerate(actions)}, repeats, device).values())
    peaks = [peak_bytes(measured, action) for measured, action in zip(both, actions, strict=True)]
    row: dict[str, object] = {'seconds': times, 'ratio': times[1] / times[0]}
    met = row['ratio'] <= GOALS[what]
    if None not in peaks:
        row |= {'memory': [peak / 2**20 for peak in peaks], 'memory_ratio': peaks[1] / peaks[0]}
        met = met and row['memory_ratio'] <= GOALS['memory']
    return {**row, 'met': bool(met)}


def compare_compiled(size: tuple[int, int], batch_size: int, device: str, repeats: int, model: str = FULL) -> dict:
    """Times a model with its networks compiled against itself, in bfloat16.

    Returns:
        For ``step`` and ``inference`` the ``seconds`` of both (eager first), their ``ratio``, and ``first``: seconds
        of the first call, which compiles.
    """
    batch = make_batch(size, batch_size, 0)
    proposals = make_proposals(batch, PROPOSALS, 0)
    both = []
    for compiled in (False, True):
        subject = Subject(model, device, proposals)
        subject.keep_detections(batch)
        if compiled:
            compile_model(subject.model, 'parts')
        both.append(Measured(subject, batch, 'bf16', device))
    result = {}
    for what in ('inference', 'step'):
        actions = {str(i): getattr(measured, what) for i, measured in enumerate(both)}
        began = time.perf_counter()
        actions['1']()
        first = time.perf_counter() - began
        times = list(interleaved(actions, repeats, device).values())
        result[what] = {'seconds': times, 'ratio': times[1] / times[0], 'first': first}
    return result


def loading_rate(data_root: str, workers: int, batch_size: int, seconds: float, config: str = FULL) -> float:
    """Images a second that the training's data loader gives, with its augmentation, for some seconds."""
    cfg = read_config(config)
    cfg.merge_from_dict({'train_dataloader.dataset.data_root': f'{Path(data_root)}/'})
    loader = {**cfg.train_dataloader, 'num_workers': workers, 'batch_size': batch_size}
    loader['persistent_workers'] = workers > 0
    built = Runner.build_dataloader(loader, seed=0)
    count, began = 0, 0.0
    while not count or time.perf_counter() - began < seconds:
        for batch in built:
            if not began:
                began = time.perf_counter()  # (the first batch starts the workers)
                continue
            count += len(batch['inputs'])
            if time.perf_counter() - began >= seconds:
                break
    return count / (time.perf_counter() - began)
