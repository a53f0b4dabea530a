"""Drawing of predictions during validation and testing."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmdet.engine.hooks import DetVisualizationHook
from mmdet.registry import HOOKS
from mmdet.structures import DetDataSample
from mmengine.runner import Runner

from ..binary_masks import binary_masks
from ..fileio import unique_name
from ..palette import palette_for
from ..visualization.picture import as_picture

_PICTURES = ('.png', '.jpg', '.jpeg', '.bmp')


@HOOKS.register_module()
class IRVisualizationHook(DetVisualizationHook):
    """MMDetection's hook, drawing on what the model saw instead of reading the file again as 8-bit colour.

    So counts of 14 bits appear as tone-mapped by the pipeline, and every kind of file can be drawn. The arguments are
    those of ``DetVisualizationHook``; ``backend_args`` has no effect.

    Example:
        >>> from mmengine.config import Config
        >>> Config.fromfile('config.py').default_hooks.visualization.type
        'IRVisualizationHook'
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self._names: dict[tuple[str, int | None], str] = {}
        self._taken: set[str] = set()
        self._root: Path | None = None

    def before_test(self, runner: Runner) -> None:
        """Finds a name for the picture of each image, the same in all processes."""
        dataset = runner.test_dataloader.dataset
        if not self.draw or self.test_out_dir is None or not hasattr(dataset, 'get_data_info'):
            return
        infos = [dataset.get_data_info(index) for index in range(len(dataset))]
        self._root = Path(os.path.commonpath([_folder(info['img_path']) for info in infos]))
        for info in infos:
            self._name(info['img_path'], info.get('page'))

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict, outputs: Sequence[DetDataSample]
    ) -> None:
        """Draw the first image of every ``interval``-th batch."""
        step = runner.iter + batch_idx
        if self.draw and step % self.interval == 0:
            name = _file_name(outputs[0].img_path, outputs[0].get('page')) if self.show else 'val_img'
            self._add(name, _picture(data_batch, 0), outputs[0], step)

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict, outputs: Sequence[DetDataSample]
    ) -> None:
        """Draw all images; with ``test_out_dir`` into that folder of the run's, in folders as the images are."""
        if not self.draw:
            return
        folder = None
        if self.test_out_dir is not None:
            folder = Path(runner.work_dir, runner.timestamp, self.test_out_dir)
        for index, output in enumerate(outputs):
            self._test_index += 1
            name = self._name(output.img_path, output.get('page'))
            out_file = None
            if folder is not None:
                out_file = str(folder / name)
                Path(out_file).parent.mkdir(parents=True, exist_ok=True)
            shown = name if self.show else 'test_img'
            self._add(shown, _picture(data_batch, index), output, self._test_index, out_file)

    def _name(self, path: str, page: int | None) -> str:
        if (path, page) not in self._names:
            inside = self._root is not None and _folder(path).is_relative_to(self._root)
            folder = _folder(path).relative_to(self._root) if inside else Path()
            self._names[path, page] = unique_name((folder / _file_name(path, page)).as_posix(), self._taken)
        return self._names[path, page]

    def _add(
        self, name: str, picture: np.ndarray, sample: DetDataSample, step: int, out_file: str | None = None
    ) -> None:
        if 'masks' in sample.get('pred_instances', {}):
            sample.pred_instances.masks = binary_masks(sample.pred_instances.masks)
        meta = self._visualizer.dataset_meta or {}
        if meta.get('classes'):  # (MMDetection refuses to draw classes that the palette does not reach)
            colors = palette_for(len(meta['classes']), meta.get('palette'))
            self._visualizer.dataset_meta = {**meta, 'palette': colors}
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


def _folder(path: str) -> Path:
    return Path(os.path.abspath(path)).parent


def _file_name(path: str, page: int | None) -> str:
    """Name of the input file, with the page of a stack, and with an ending that a picture can have."""
    stem, suffix = Path(path).stem, Path(path).suffix
    stem = stem if page is None else f'{stem}_{page:05d}'
    return stem + (suffix if suffix.lower() in _PICTURES else '.png')
