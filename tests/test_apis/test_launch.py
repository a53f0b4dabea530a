"""What a training is started with, without training."""

import json
from pathlib import Path
from types import SimpleNamespace

from mmdet_ir.apis import launch
from mmdet_ir.model_zoo import checkpoint_file

import pytest
import torch
from mmdet.models import SingleRoIExtractor
from mmdet.registry import VISUALIZERS
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.visualization import Visualizer

REPO = Path(__file__).parents[2]
CONFIG = str(REPO / 'configs/quickstart/mask_rcnn_real.py')


class Built(Exception):
    """Ends a training where its runner would be built."""


@pytest.mark.parametrize('resume', [None, 'auto'])
def test_a_first_start_takes_a_model_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resume: str | None
) -> None:
    """Also with ``--resume`` where there is nothing to go on from, as a job of Slurm starts."""
    taken = []

    def build(cfg: Config) -> None:
        taken.append(cfg.load_from)
        raise Built

    monkeypatch.setattr(launch, '_build_runner', build)
    monkeypatch.setattr(launch, 'check_before_training', lambda cfg: None)
    with pytest.raises(Built):
        launch.train(CONFIG, work_dir=str(tmp_path), load_from='edge', resume=resume)
    assert taken == [checkpoint_file('edge')] and Path(taken[0]).is_file()


def test_a_missing_start_is_told_before_anything_is_built(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'nowhere\.pth'):
        launch.train(CONFIG, work_dir=str(tmp_path), load_from='nowhere.pth', resume='auto')


@pytest.mark.parametrize(('wrapper', 'kept'), [('AmpOptimWrapper', True), ('OptimWrapper', False)])
def test_rois_keep_their_coordinates_in_mixed_precision(
    monkeypatch: pytest.MonkeyPatch, wrapper: str, kept: bool
) -> None:
    """On a GPU ``AmpOptimWrapper`` stays; MMDetection casts RoIs to the type of the features."""
    layer = {'type': 'RoIAlign', 'output_size': 1, 'sampling_ratio': 2}
    model = SingleRoIExtractor(layer, out_channels=1, featmap_strides=[4])
    monkeypatch.setattr(Runner, 'from_cfg', lambda cfg: SimpleNamespace(model=model))
    launch._build_runner(Config({'optim_wrapper': {'type': wrapper}}))
    pooled = model((torch.ones(1, 1, 8, 8, dtype=torch.bfloat16),), torch.tensor([[0.0, 4, 4, 12, 12]]))
    assert pooled.dtype == (torch.float32 if kept else torch.bfloat16)


def test_each_run_of_a_process_has_its_own_curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MMDetection's configs give the visualizer one name, under which MMEngine keeps the first."""
    settings = {'type': 'DetLocalVisualizer', 'name': 'visualizer', 'vis_backends': [{'type': 'LocalVisBackend'}]}

    def build(cfg: Config) -> SimpleNamespace:
        VISUALIZERS.build({**cfg.visualizer, 'save_dir': cfg.work_dir})
        return SimpleNamespace(model=None)

    monkeypatch.setattr(Runner, 'from_cfg', build)
    for number in range(2):
        folder = tmp_path / str(number)
        launch._build_runner(Config({'visualizer': settings, 'work_dir': str(folder)}))
        Visualizer.get_current_instance().add_scalar('loss', float(number), step=1)
        (line,) = (folder / 'vis_data' / 'scalars.json').read_text().splitlines()
        assert json.loads(line)['loss'] == number
