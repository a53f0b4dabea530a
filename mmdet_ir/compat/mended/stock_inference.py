"""MMDetection's own ways to run a model, on configs of this project.

``DetInferencer`` looks for ``LoadImageFromFile`` and says only that it found none. ``inference_detector`` (MMDetection
3.3) writes into the config of the model when it gets an array, so that a path fails after it.
"""

import copy
import functools

from mmdet.apis import DetInferencer, inference
from mmengine.config import Config, ConfigDict
from mmengine.dataset import Compose

_OURS = 'LoadIRImageFromFile'


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
    """Lets ``inference_detector`` change a copy of the test pipeline."""
    stock = inference.get_test_pipeline_cfg
    if hasattr(stock, '__wrapped__'):
        return

    @functools.wraps(stock)
    def copied(cfg: str | ConfigDict | Config) -> ConfigDict:
        return copy.deepcopy(stock(cfg))

    inference.get_test_pipeline_cfg = copied
