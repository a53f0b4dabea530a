"""Drawing of predictions during validation and testing."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmdet.engine.hooks import DetVisualizationHook
from mmdet.registry import HOOKS
from mmdet.structures import DetDataSample
from mmengine.runner import Runner

from ..visualization.picture import as_picture

_PICTURES = ('.png', '.jpg', '.jpeg', '.bmp')


@HOOKS.register_module()
class IRVisualizationHook(DetVisualizationHook):
    """MMDetection's hook, drawing on what the model saw instead of reading the file again as 8-bit colour.

    So counts of 14 bits appear as tone-mapped by the pipeline, and every kind of file can be drawn. The arguments are
    those of ``DetVisualizationHook``; ``backend_args`` has no effect.
    """

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict, outputs: Sequence[DetDataSample]
    ) -> None:
        """Draw the first image of every ``interval``-th batch."""
        step = runner.iter + batch_idx
        if self.draw and step % self.interval == 0:
            name = _file_name(outputs[0]) if self.show else 'val_img'
            self._add(name, _picture(data_batch, 0), outputs[0], step)

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict, outputs: Sequence[DetDataSample]
    ) -> None:
        """Draw all images; with ``test_out_dir`` into that folder of the run's."""
        if not self.draw:
            return
        folder = None
        if self.test_out_dir is not None:
            folder = Path(runner.work_dir, runner.timestamp, self.test_out_dir)
            folder.mkdir(parents=True, exist_ok=True)
        for index, output in enumerate(outputs):
            self._test_index += 1
            name = _file_name(output)
            out_file = None if folder is None else str(folder / name)
            shown = name if self.show else 'test_img'
            self._add(shown, _picture(data_batch, index), output, self._test_index, out_file)

    def _add(
        self, name: str, picture: np.ndarray, sample: DetDataSample, step: int, out_file: str | None = None
    ) -> None:
        self._visualizer.add_datasample(
            name,
            picture,
            data_sample=sample,
            show=self.show,
            wait_time=self.wait_time,
            pred_score_thr=self.score_thr,
            out_file=out_file,
            step=step,
        )


def _picture(data_batch: dict, index: int) -> np.ndarray:
    """The picture of one sample; with test-time augmentation of its first version that is not flipped, if any."""
    inputs, samples = data_batch['inputs'], data_batch['data_samples']
    if isinstance(samples[0], list | tuple):
        flips = [bool(version[index].metainfo.get('flip')) for version in samples]
        inputs, samples = inputs[np.argmin(flips)], samples[np.argmin(flips)]
    return as_picture(inputs[index], samples[index].metainfo)


def _file_name(sample: DetDataSample) -> str:
    """Name of the input file, with the page of a stack, and with an ending that a picture can have."""
    path = Path(sample.img_path)
    stem = f'{path.stem}_{sample.page:05d}' if 'page' in sample else path.stem
    return stem + (path.suffix if path.suffix.lower() in _PICTURES else '.png')
