"""Models of the ready configs train on data sets of other classes, two steps each.

A model of each kind takes part; MMDET_IR_ALL_CONFIGS=1 takes all configs with all three data sets, which needs half an
hour of a CPU core.
"""

import math
import os
from pathlib import Path

from mmdet_ir.apis import train
from mmdet_ir.apis.new_config import new_config

import pytest
from mmengine.config import Config

pytestmark = pytest.mark.slow
REPO = Path(__file__).parents[3]
FOLDERS = ('quickstart', 'edge', 'ir', 'baselines', 'flir')
FEW = {
    'quickstart/mask_rcnn_bnsa_focalsiou_mbcedicels_real.py': 'degrees',
    'quickstart/condinst_real.py': 'deep',
    'quickstart/yolact_real.py': 'degrees',
    'quickstart/solov2_real.py': 'deep',
    'quickstart/sparseinst_real.py': 'grey',
}
ALL = [
    (path.relative_to(REPO / 'configs').as_posix(), name)
    for folder in FOLDERS
    for path in sorted((REPO / 'configs' / folder).glob('*.py'))
    for name in ('deep', 'grey', 'degrees')
]
CHOSEN = ALL if os.environ.get('MMDET_IR_ALL_CONFIGS') == '1' else list(FEW.items())


def two_steps(written: Path, work_dir: Path, **options: object) -> list[float]:
    """Losses of a training without a validation, from random weights unless ``options`` name others."""
    cfg = Config.fromfile(written)
    settings = dict.fromkeys(('val_cfg', 'val_dataloader', 'val_evaluator', 'load_from'))
    place, dataset = 'train_dataloader.dataset', cfg.train_dataloader.dataset
    while 'dataset' in dataset:  # within its wrappers
        place, dataset = f'{place}.dataset', dataset.dataset
    settings |= {f'{place}.indices': 2, 'train_dataloader.num_workers': 0}
    settings |= {'train_dataloader.persistent_workers': False, 'default_hooks.logger.interval': 1}
    settings |= {'default_hooks.checkpoint.interval': 1000, 'default_hooks.checkpoint.save_last': False}
    settings |= {'default_hooks.checkpoint.save_best': None, 'experiment_name': work_dir.parent.name}
    # (of steps that are counted, the schedules of 2,000 and more would leave nothing)
    settings |= {'max_iters': 2, 'param_scheduler': None} if 'max_iters' in cfg.train_cfg else {'max_epochs': 1}
    if cfg.model.backbone.get('init_cfg'):
        settings['model.backbone.init_cfg'] = None
    if cfg.model.backbone.get('imagenet'):
        settings['model.backbone.imagenet'] = False
    runner = train(str(written), work_dir=str(work_dir), seed=0, cfg_options=settings | options)
    assert runner.iter >= 2  # (more where a wrapper repeats images of rare classes)
    return runner.message_hub.get_scalar('train/loss').data[0].tolist()


@pytest.mark.parametrize(('like', 'name'), CHOSEN)
def test_two_steps(data: Path, tmp_path: Path, like: str, name: str) -> None:
    written = new_config(data / name, tmp_path / 'mine.py', REPO / 'configs' / like, batch_size=1)
    losses = two_steps(written.path, tmp_path / 'run')
    assert len(losses) >= 2 and all(map(math.isfinite, losses))


def test_two_steps_from_the_weights_of_a_model(data: Path, tmp_path: Path) -> None:
    """Three classes instead of four: background is one more, and boxes do not depend on the class."""
    written = new_config(data / 'deep', tmp_path / 'mine.py', 'edge', batch_size=1)
    two_steps(written.path, tmp_path / 'run', load_from='edge')
    (log,) = (tmp_path / 'run').glob('*/*.log')
    (line,) = (line for line in log.read_text().splitlines() if 'load_from=' in line and ' taken' in line)
    assert 'these layers start anew: roi_head.bbox_head.fc_cls' in line and 'roi_head.mask_head.conv_logits' in line
