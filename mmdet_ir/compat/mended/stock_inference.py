"""MMDetection's own ways to run a model, on configs of this project.

``DetInferencer`` looks for ``LoadImageFromFile`` and says only that it found none. ``inference_detector`` (MMDetection
3.3) writes into the config of the model when it gets an array, so that a path fails after it; and its loader of arrays
knows neither grey images nor counts.
"""

import copy
import functools
from collections.abc import Sequence

from mmcv.transforms import BaseTransform
from mmdet.apis import DetInferencer, inference
from mmdet.registry import TRANSFORMS
from mmengine.config import Config, ConfigDict
from mmengine.dataset import Compose

_OURS = 'LoadIRImageFromFile'
_LOADER = '_loader'  # the step as the config has it


def name_our_inferencer() -> None:
    """Lets ``DetInferencer`` say what to take for a config that loads infrared images."""
    stock = DetInferencer._init_pipeline
    if hasattr(stock, '__wrapped__'):
        return

    @functools.wraps(stock)
    def init_pipeline(self: DetInferencer, cfg: ConfigDict) -> Compose:
        first = cfg.test_dataloader.dataset.get('pipeline') or [{}]
        if first[0].get('type') == _OURS:
            raise ValueError(
                f'DetInferencer: expected a test pipeline that begins with LoadImageFromFile, got {_OURS}; take '
                f'mmdet_ir.apis.IRInferencer, which has the same arguments and results'
            )
        return stock(self, cfg)

    DetInferencer._init_pipeline = init_pipeline


def keep_test_pipelines() -> None:
    """Lets ``inference_detector`` change a copy of the test pipeline, and read arrays as the loader there does."""
    stock = inference.get_test_pipeline_cfg
    if hasattr(stock, '__wrapped__'):
        return

    @functools.wraps(stock)
    def copied(cfg: str | ConfigDict | Config) -> ConfigDict:
        pipeline = copy.deepcopy(stock(cfg))
        if pipeline and pipeline[0].get('type') == _OURS:
            pipeline[0][_LOADER] = dict(pipeline[0])
        return pipeline

    inference.get_test_pipeline_cfg = copied
    inference.Compose = _compose


def _compose(steps: Sequence[dict]) -> Compose:
    """The pipeline that ``inference_detector`` asks for, whose first step has become a loader for arrays for those."""
    if not steps or _LOADER not in steps[0]:
        return Compose(steps)
    loader = TRANSFORMS.build(steps[0][_LOADER])
    return Compose([loader if steps[0]['type'] == _OURS else functools.partial(_take, loader), *steps[1:]])


def _take(loader: BaseTransform, results: dict) -> dict:
    image = loader.take(results['img'], 'array')
    return {**results, 'img': image, 'img_shape': image.shape[:2], 'ori_shape': image.shape[:2]}
