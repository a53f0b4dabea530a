"""A loss that is NaN or infinite ends the training at once, and says in which batch."""

import json
import math
from pathlib import Path

import torch
from mmengine.dist import all_gather_object, all_reduce, get_rank, get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ..fileio import write_text


class InvalidLossError(ValueError):
    """The loss of a training step is NaN or infinite; the cause is in the data or in the settings.

    Example:
        >>> from mmdet_ir.engine import InvalidLossError
        >>> issubclass(InvalidLossError, ValueError)
        True
    """


def batch_images(data_batch: dict | tuple | list | None) -> list[dict]:
    """``id``, ``path`` and number of ``targets`` of each image of a batch; what it does not tell is None."""
    samples = data_batch.get('data_samples') if isinstance(data_batch, dict) else None
    if not isinstance(samples, list | tuple):
        return []
    images = []
    for sample in samples:
        ground_truth = getattr(sample, 'gt_instances', None)
        images.append(
            {
                'id': sample.get('img_id'),
                'path': sample.get('img_path'),
                'targets': None if ground_truth is None else len(ground_truth),
            }
        )
    return images


def _plain(value: float) -> float | str:
    """The number, or ``'nan'``, ``'inf'`` or ``'-inf'``, which JSON does not have."""
    return value if math.isfinite(value) else str(value)


@HOOKS.register_module()
class InvalidLossHook(Hook):
    """Stops after the first iteration whose loss is not finite, before anything is logged or saved.

    MMDetection's ``CheckInvalidLossHook`` looks at every 50th iteration, at one process, and does not say which
    images the batch held. Only the loss counts. Gradients that overflow under float16 are the loss scaler's business:
    it skips the step and lowers its scale, and the loss, which is not scaled, stays finite.

    The values are those that ``RuntimeInfoHook``, one of mmengine's default hooks, has already fetched, so nothing
    waits for the GPU once more. With several processes one number is reduced over them in each iteration: all have to
    stop in the same iteration, or those that are left would wait for the one that stopped.

    Example:
        >>> from mmengine.registry import HOOKS
        >>> custom_hooks = [{'type': 'InvalidLossHook'}]  # in a config
        >>> type(HOOKS.build(custom_hooks[0])).__name__
        'InvalidLossHook'
    """

    priority = 'HIGH'  # after RuntimeInfoHook, before whatever averages weights, logs or saves

    def __init__(self) -> None:
        self.previous: list[dict] = []

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | tuple | list | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Checks one iteration.

        Args:
            runner: The runner.
            batch_idx: Number of the batch in the epoch.
            data_batch: What the data loader yielded.
            outputs: The losses by name, as the model's ``train_step`` returned them.

        Raises:
            InvalidLossError: On every process, when the loss of any of them is not finite. The main process has then
                written ``invalid_loss_iter_<iteration>.json`` to the work dir.
        """
        hub = runner.message_hub
        losses = {name: hub.get_scalar(f'train/{name}').current() for name in outputs or {}}
        invalid = not all(math.isfinite(value) for name, value in losses.items() if 'loss' in name)
        anywhere = invalid
        if get_world_size() > 1:
            flag = torch.tensor(float(invalid))
            all_reduce(flag, op='max')
            anywhere = bool(flag)
        if anywhere:
            self._stop(runner, self._report(runner, data_batch, losses) if invalid else None)
        self.previous = batch_images(data_batch)

    def _report(self, runner: Runner, data_batch: dict | tuple | list | None, losses: dict[str, float]) -> dict:
        scalars = {**losses}
        if 'train/grad_norm' in runner.message_hub.log_scalars:
            scalars['grad_norm'] = runner.message_hub.get_scalar('train/grad_norm').current()
        return {
            'rank': get_rank(),
            'values': {name: _plain(float(value)) for name, value in scalars.items()},
            'images': batch_images(data_batch),
            # Where the loss was finite but its gradient was not, this is the batch to look at.
            'images_of_the_iteration_before': self.previous,
        }

    def _stop(self, runner: Runner, report: dict | None) -> None:
        reports = [entry for entry in all_gather_object(report) if entry is not None]
        iteration, epoch = runner.iter + 1, runner.epoch + 1
        path = Path(runner.work_dir, f'invalid_loss_iter_{iteration}.json')
        if is_main_process():
            content = {'iteration': iteration, 'epoch': epoch, 'processes': reports}
            write_text(path, json.dumps(content, indent=2, allow_nan=False) + '\n')
        all_gather_object(None)  # the launcher ends all once one has left: not before the file is there
        first = reports[0]
        values = {name: value for name, value in first['values'].items() if 'loss' in name and isinstance(value, str)}
        images = ', '.join(str(image['path'] or image['id']) for image in first['images']) or 'unknown images'
        raise InvalidLossError(
            f'iteration {iteration}, epoch {epoch}, process {first["rank"]}: expected a finite loss, got '
            f'{", ".join(f"{name} {value}" for name, value in values.items())} on {images}; '
            f'nothing of this iteration is saved, and {path} has the details'
        )


def add_invalid_loss_hook(runner: Runner) -> None:
    """Registers :class:`InvalidLossHook` unless the config has it."""
    if not any(isinstance(hook, InvalidLossHook) for hook in runner.hooks):
        runner.register_hook(InvalidLossHook())
