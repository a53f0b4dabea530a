"""Whatever scores, draws, derives or exports with a trained model refuses weights that do not fit, by one loader."""

from collections.abc import Callable
from pathlib import Path

from mmdet_ir.analysis.features.feature_map_figure import draw_feature_maps
from mmdet_ir.analysis.images import open_models, predict
from mmdet_ir.apis import launch
from mmdet_ir.apis.inference.inferencer import IRInferencer
from mmdet_ir.apis.masks_in_boxes import MasksInBoxes
from mmdet_ir.benchmark.subject import Subject

import pytest
import torch
from tiny_problem import CLASSES, write_problem

CHANGES = {
    'plugin': ('neck.plugins', r'weights.*does not fit .*config.py: \d+ parameters are missing .*neck\.plugins'),
    'classes': ('classes', r"was trained on the classes \['car', 'human', .*config.py has \['human', 'car', .*order"),
    'prefix': ('prefix', r'does not fit .*config.py: .*of the checkpoint are not in the model: model\.backbone'),
}


def score(config: str, weights: str, folder: Path, **options: object) -> None:
    name = {'experiment_name': f'{folder.name}{len(options)}'}
    launch.test(config, weights, work_dir=str(folder), cfg_options=name, **options)


def score_with_views(config: str, weights: str, folder: Path) -> None:
    score(config, weights, folder, tta=True)


def draw(config: str, weights: str, folder: Path) -> None:
    _, (loaded,), (dataset,) = open_models([(config, weights)], None, None)
    next(predict(loaded, weights, dataset, [0], 'cpu'))


def draw_maps(config: str, weights: str, folder: Path) -> None:
    draw_feature_maps(config, weights, folder / 'maps.png', image_id=1, device='cpu')


def derive(config: str, weights: str, folder: Path) -> None:
    MasksInBoxes(config, weights, 'cpu')


def infer_or_export(config: str, weights: str, folder: Path) -> None:
    IRInferencer(config, weights, 'cpu', show_progress=False)


def benchmark(config: str, weights: str, folder: Path) -> None:
    Subject(config, 'cpu', None, checkpoint=weights)


WAYS = [score, score_with_views, draw, draw_maps, derive, infer_or_export, benchmark]


@pytest.fixture(scope='module')
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny problem with its weights, and with weights that belong to something else."""
    folder = tmp_path_factory.mktemp('foreign')
    write_problem(folder)
    weights = torch.load(folder / 'weights.pth')['state_dict']
    meta = {'dataset_meta': {'classes': CLASSES}}
    others = {
        'plugin': ({k: v for k, v in weights.items() if not k.startswith('neck.plugins')}, meta),
        'classes': (weights, {'dataset_meta': {'CLASSES': ('car', 'human', *CLASSES[2:])}}),
        'prefix': ({f'model.{k}': v for k, v in weights.items()}, meta),
    }
    for name, (state, about) in others.items():
        torch.save({'state_dict': state, 'meta': about}, folder / f'weights_{name}.pth')
    torch.save({'state_dict': weights, 'meta': {'CLASSES': CLASSES}}, folder / 'weights_older.pth')
    return folder


# (one loader makes all checks: each way has to reach it, and two of them show that it makes each check)
@pytest.mark.parametrize(
    ('way', 'name'),
    [*((way, 'plugin') for way in WAYS), *((w, n) for w in (score, draw) for n in ('classes', 'prefix'))],
)
def test_weights_of_something_else_are_refused(root: Path, tmp_path: Path, way: Callable, name: str) -> None:
    with pytest.raises(ValueError, match=CHANGES[name][1]):
        way(str(root / 'config.py'), str(root / f'weights_{name}.pth'), tmp_path)


@pytest.mark.parametrize('way', WAYS)
def test_weights_that_fit_are_taken(root: Path, tmp_path: Path, way: Callable) -> None:
    """With class names where MMDetection 2 kept them."""
    way(str(root / 'config.py'), str(root / 'weights_older.pth'), tmp_path)


def test_a_missing_file_is_named(root: Path, tmp_path: Path) -> None:
    for way in WAYS:
        with pytest.raises(FileNotFoundError, match='checkpoint not found'):
            way(str(root / 'config.py'), str(root / 'none.pth'), tmp_path)


def test_the_wrong_number_of_classes_is_told_with_its_places(root: Path, tmp_path: Path) -> None:
    config = tmp_path / 'two.py'
    config.write_text(
        f"_base_ = '{root / 'config.py'}'\n"
        "test_dataloader = dict(dataset=dict(metainfo=dict(classes=('human', 'car'))))\n"
        "val_dataloader = dict(dataset=dict(metainfo=dict(classes=('human', 'car'))))\n"
    )
    torch.save(torch.load(root / 'weights.pth')['state_dict'], tmp_path / 'bare.pth')
    places = r'num_classes=2.*model\.roi_head\.bbox_head\.num_classes=4, model\.roi_head\.mask_head\.num_classes=4'
    for way in (draw, derive, infer_or_export, benchmark):
        with pytest.raises(ValueError, match=places):
            way(str(config), str(tmp_path / 'bare.pth'), tmp_path)


@pytest.mark.parametrize('way', WAYS)
def test_weights_that_are_not_finite_are_refused(way: Callable, root: Path, tmp_path: Path) -> None:
    content = torch.load(root / 'weights.pth', weights_only=True)
    name = 'roi_head.bbox_head.fc_cls.weight'
    content['state_dict'][name][1, 2] = float('nan')
    content['state_dict']['backbone.bn1.running_var'][0] = float('inf')
    torch.save(content, tmp_path / 'diverged.pth')
    words = rf'diverged\.pth: expected finite weights, got NaN or infinity in 2 parameters: .*{name}'
    with pytest.raises(ValueError, match=words):
        way(str(root / 'config.py'), str(tmp_path / 'diverged.pth'), tmp_path)
