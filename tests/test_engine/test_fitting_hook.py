"""A training whose model, data sets and weights do not belong together ends before its first step, with the reason."""

import logging
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from mmdet_ir.engine.fitting.fitting_hook import add_fitting_checks
from mmdet_ir.engine.fitting.weights import Fit, check_start, load_weights

import pytest
import torch
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import EMAHook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from pycocotools.coco import COCO
from torch import nn

CLASSES = ('human', 'car', 'uav')
NAMES = count()


class Detector(BaseModel):
    """A backbone and a head, by the names that detectors give them."""

    def __init__(self, classes: int = 3, layers: int = 2, width: int = 4, **test_cfg: object) -> None:
        super().__init__()
        self.backbone = nn.Sequential(*(nn.Linear(width if i else 2, width) for i in range(layers)))
        self.bbox_head = nn.ModuleDict({'fc_reg': nn.Linear(width, 4), 'fc_cls': nn.Linear(width, classes)})
        self.bbox_head.num_classes = classes
        self.test_cfg = test_cfg
        self.steps = 0

    def forward(self, inputs: torch.Tensor, mode: str, **other: object) -> dict | list:
        if mode != 'loss':
            return [0.0]
        self.steps += 1
        features = self.backbone(inputs)
        return {'loss': sum(layer(features).square().mean() for layer in self.bbox_head.values())}


class Points(BaseDataset):
    def load_data_list(self) -> list[dict]:
        return [{'inputs': torch.tensor([float(i), 1.0])} for i in range(4)]


class Score(BaseMetric):
    """A COCO metric's targets: three in image 1, one in image 2, and a crowd."""

    def __init__(self) -> None:
        super().__init__()
        self._coco_api = COCO()
        crowds = [(1, 0), (1, 0), (1, 0), (2, 0), (2, 1), (2, 1), (2, 1), (2, 1)]
        self._coco_api.dataset = {'annotations': [{'image_id': i, 'iscrowd': crowd} for i, crowd in crowds]}

    def process(self, data_batch: object, data_samples: list) -> None:
        self.results.append(0)

    def compute_metrics(self, results: list) -> dict[str, float]:
        return {'score': 0.0}


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((record.levelname, record.getMessage()))


def run(folder: Path, model: Detector, classes: object = CLASSES, **settings: object) -> list[tuple[str, str]]:
    """Trains for one epoch; returns the log."""
    dataset = Points(metainfo=None if classes is None else {'classes': classes})
    loader = {
        'batch_size': 2,
        'num_workers': 0,
        'dataset': dataset,
        'sampler': {'type': 'DefaultSampler', 'shuffle': False},
        'collate_fn': {'type': 'default_collate'},
    }
    runner = Runner(
        **{
            'model': model,
            'work_dir': str(folder),
            'train_dataloader': loader,
            'val_dataloader': loader,
            'train_cfg': {'by_epoch': True, 'max_epochs': 1},
            'val_cfg': {},
            'val_evaluator': Evaluator([Score()]),
            'optim_wrapper': {'optimizer': {'type': 'SGD', 'lr': 0.1}},
            'default_hooks': {'checkpoint': {'type': 'CheckpointHook', 'interval': 1}},
            'experiment_name': f'fitting{next(NAMES)}',
        }
        | settings
    )
    heard = Lines()
    runner.logger.addHandler(heard)
    add_fitting_checks(runner, training=True)
    runner.train()
    return heard.lines


@pytest.fixture
def stopped_early() -> Iterator[Callable]:
    """Checks that a training is refused with a message and without a step."""

    def check(message: str, folder: Path, model: Detector, *args: object, **settings: object) -> None:
        with pytest.raises(ValueError, match=message):
            run(folder, model, *args, **settings)
        assert model.steps == 0

    return check


@pytest.fixture(scope='module')
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp('trained')
    run(folder, Detector())
    return folder / 'epoch_1.pth'


def told(lines: list[tuple[str, str]], level: str, start: str) -> list[str]:
    return [text for name, text in lines if name == level and text.startswith(start)]


def test_weights_to_start_from_that_fit_are_told_in_one_line(trained: Path, tmp_path: Path) -> None:
    lines = run(tmp_path, Detector(), load_from=str(trained))
    assert told(lines, 'INFO', 'load_from') == [f'load_from={trained}: 8 of 8 parameters taken, all of them']
    assert not any(level == 'WARNING' and 'load' in text for level, text in lines)


def loader_of(classes: tuple[str, ...] | None) -> dict:
    dataset = Points(metainfo=None if classes is None else {'classes': classes})
    sampler = {'type': 'DefaultSampler', 'shuffle': False}
    return {'batch_size': 2, 'num_workers': 0, 'dataset': dataset, 'sampler': sampler}


@pytest.mark.parametrize('classes', [('car', 'human', 'uav'), ('human', 'car', 'bird')])
def test_classes_of_the_validation_in_another_order_are_refused(
    classes: tuple[str, ...], tmp_path: Path, stopped_early: Callable
) -> None:
    """A car that is found as label 1 would be scored as a human."""
    message = r"val_dataloader\.dataset\.metainfo\.classes: expected those of train_dataloader.*'human', 'car', 'uav'"
    stopped_early(message, tmp_path, Detector(), val_dataloader=loader_of(classes))


def test_the_same_classes_as_a_list_or_none_are_no_others(tmp_path: Path) -> None:
    run(tmp_path / 'a', Detector(), val_dataloader=loader_of(list(CLASSES)))
    run(tmp_path / 'b', Detector(), val_dataloader=loader_of(None))


def test_factors_that_reach_no_parameter_are_told(tmp_path: Path) -> None:
    """The learning rates are the oracle: with the right name they fall, with the wrong one they stay."""
    rates = {}
    for name in ('backbone', 'bakbone'):
        model = Detector()
        factors = {'custom_keys': {name: {'lr_mult': 0.0}, 'fc_cls': {'lr_mult': 1.0}}}
        before = model.backbone[0].weight.detach().clone()
        wrapper = {'optimizer': {'type': 'SGD', 'lr': 0.1}, 'paramwise_cfg': factors}
        lines = run(tmp_path / name, model, optim_wrapper=wrapper)
        rates[name] = bool((model.backbone[0].weight != before).any())
        warnings = told(lines, 'WARNING', 'optim_wrapper.paramwise_cfg.custom_keys')
        assert len(warnings) == (name == 'bakbone')
        assert all("'bakbone' is in the name of no parameter" in w and "mean 'backbone'" in w for w in warnings)
    assert rates == {'backbone': False, 'bakbone': True}


def test_heads_of_other_classes_start_anew_and_are_told_in_one_line(trained: Path, tmp_path: Path) -> None:
    model = Detector(classes=5)
    first = model.bbox_head['fc_cls'].weight.detach().clone()
    lines = run(tmp_path, model, tuple('abcde'), load_from=str(trained), optim_wrapper=frozen())
    (line,) = told(lines, 'INFO', 'load_from')
    assert line == (
        f'load_from={trained}: 6 of 8 parameters taken; these layers start anew: bbox_head.fc_cls (of another shape '
        f'in the file)'
    )
    assert not any('do not match' in text for _, text in lines)  # mmengine's dozen lines about the same
    source = torch.load(trained)['state_dict']
    assert torch.equal(model.backbone[1].weight, source['backbone.1.weight'])
    assert torch.equal(model.bbox_head['fc_cls'].weight, first)


def frozen() -> dict:
    return {'optimizer': {'type': 'SGD', 'lr': 0.0}}


def test_the_average_of_weights_starts_from_them_too(trained: Path, tmp_path: Path) -> None:
    hook = EMAHook()
    run(tmp_path, Detector(classes=5), None, load_from=str(trained), custom_hooks=[hook], optim_wrapper=frozen())
    source = torch.load(trained)['state_dict']
    assert torch.equal(hook.ema_model.module.backbone[1].weight, source['backbone.1.weight'])


def test_the_same_number_of_other_classes_is_told(trained: Path, tmp_path: Path) -> None:
    (warning,) = told(run(tmp_path, Detector(), ('a', 'b', 'c'), load_from=str(trained)), 'WARNING', 'load_from')
    assert "its classes are ['human', 'car', 'uav'], those of the training set are ['a', 'b', 'c']" in warning


def test_weights_of_which_nothing_fits_are_refused(trained: Path, tmp_path: Path, stopped_early: Callable) -> None:
    content = torch.load(trained)
    torch.save({'state_dict': {f'model.{k}': v for k, v in content['state_dict'].items()}}, tmp_path / 'prefix.pth')
    message = r'prefix\.pth: none of its parameters \(model\.backbone.* fits the model \(backbone'
    stopped_early(message, tmp_path, Detector(), load_from=str(tmp_path / 'prefix.pth'))


def test_weights_that_are_not_finite_are_refused(trained: Path, tmp_path: Path, stopped_early: Callable) -> None:
    content = torch.load(trained)
    content['state_dict']['bbox_head.fc_reg.bias'][1] = float('-inf')
    torch.save(content, tmp_path / 'diverged.pth')
    message = r'diverged\.pth: expected finite weights, got NaN or infinity in 1 parameters: .*bbox_head\.fc_reg\.bias'
    stopped_early(message, tmp_path, Detector(), load_from=str(tmp_path / 'diverged.pth'))


def test_weights_of_another_backbone_are_refused(trained: Path, tmp_path: Path, stopped_early: Callable) -> None:
    message = r'the backbone is another: 0 of the 4 parameters of model\.backbone fit, not backbone\.0\.weight'
    stopped_early(message, tmp_path, Detector(width=6), load_from=str(trained))
    message = r'the backbone is another: 4 of the 10 parameters of model\.backbone fit, not backbone\.2\.weight'
    stopped_early(message, tmp_path, Detector(layers=5), load_from=str(trained))


def test_a_part_of_the_backbone_that_starts_anew_is_a_warning(trained: Path, tmp_path: Path) -> None:
    lines = run(tmp_path, Detector(layers=3), load_from=str(trained))
    (warning,) = told(lines, 'WARNING', 'load_from')
    assert 'the backbone is not the same: 4 of the 6 parameters' in warning and 'backbone.2.weight' in warning
    (line,) = told(lines, 'INFO', 'load_from')
    assert 'start anew: backbone.2 (not in the file)' in line


@pytest.mark.parametrize(('own', 'theirs'), [(50, 101), (101, 50), (18, 34), (34, 18)])
def test_weights_of_a_deeper_or_shallower_backbone_are_refused(own: int, theirs: int) -> None:
    """All of a ResNet-50 fits into a ResNet-101, whose other layers would start anew."""
    blocks = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}  # table 1 of the paper

    def detector(depth: int) -> nn.Module:
        stages = {
            f'layer{i}': nn.ModuleList(nn.Linear(1, 1) for _ in range(n)) for i, n in enumerate(blocks[depth], 1)
        }
        return nn.ModuleDict({'backbone': nn.ModuleDict(stages), 'neck': nn.Linear(1, 1)})

    model = detector(own)
    fit = load_weights(model, detector(theirs).state_dict(), 'w.pth')
    layers = 'backbone.layer3 has [26] layers in the file and [26] in the model' if 18 in (own, theirs) else ''
    with pytest.raises(ValueError, match=rf'w.pth: the backbone is another: .*{layers}'):
        check_start(model, fit, 'w.pth')


def test_a_training_goes_on_only_with_its_own_model(trained: Path, tmp_path: Path, stopped_early: Callable) -> None:
    resume = {'load_from': str(trained), 'resume': True}
    stopped_early(r'bbox_head\.fc_cls.*set load_from', tmp_path, Detector(classes=5), tuple('abcde'), **resume)
    stopped_early(r"trained on the classes \['human', 'car', 'uav'\]", tmp_path, Detector(), tuple('abc'), **resume)


def test_a_number_of_classes_that_does_not_fit_is_refused(tmp_path: Path, stopped_early: Callable) -> None:
    message = (
        r'expected num_classes=2, the number of classes of train_dataloader\.dataset \(human, car\), got '
        r'model\.bbox_head\.num_classes=3'
    )
    stopped_early(message, tmp_path, Detector(), ('human', 'car'))
    message = r"train_dataloader\.dataset\.metainfo: classes: .* got the text 'ship'; .* classes=\('ship',\)"
    stopped_early(message, tmp_path, Detector(1), 'ship')


@pytest.mark.parametrize(('limit', 'warned'), [(2, True), (3, False), (-1, False)])
def test_more_targets_than_detections_are_told(tmp_path: Path, limit: int, warned: bool) -> None:
    lines = run(tmp_path, Detector(rcnn={'max_per_img': limit}))
    warnings = told(lines, 'WARNING', 'val_dataloader.dataset')
    assert len(warnings) == warned
    if warned:
        assert '1 images have more targets than the 2 detections' in warnings[0]
        assert 'set model.test_cfg.rcnn.max_per_img=2 to at least 3' in warnings[0]


def test_layers_are_named_by_the_module_that_starts_anew_as_a_whole() -> None:
    neck = nn.ModuleDict({'convs': nn.Linear(1, 1), 'plugins': nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1)])})
    model = nn.ModuleDict({'backbone': nn.Linear(1, 1), 'neck': neck})
    weights = {name: value for name, value in model.state_dict().items() if 'plugins' not in name}
    fit = load_weights(model, weights, 'w.pth')
    assert fit.absent == (
        'neck.plugins.0.weight',
        'neck.plugins.0.bias',
        'neck.plugins.1.weight',
        'neck.plugins.1.bias',
    )
    line, warnings = check_start(model, fit, 'w.pth')
    assert line == 'load_from=w.pth: 4 of 8 parameters taken; these layers start anew: neck.plugins (not in the file)'
    assert warnings == []


def test_shapes_and_names_are_told_apart() -> None:
    model = nn.ModuleDict({'a': nn.Linear(2, 1), 'b': nn.Linear(2, 1)})
    weights = {'a.weight': torch.ones(1, 2), 'a.bias': torch.ones(3), 'b.bias': torch.ones(1), 'c': torch.ones(1)}
    assert load_weights(model, weights, 'w') == Fit(('a.weight', 'b.bias'), ('b.weight',), ('a.bias',), ('c',))
    assert (model['a'].weight == 1).all() and (model['b'].bias == 1).all()


def test_a_file_with_its_weights_under_another_key_is_told_its_keys() -> None:
    weights = Detector().state_dict()
    for content, keys in (({'model': weights, 'epoch': 3}, 'model, epoch'), ({'state_dict': {'a': 1}, 'b': 2}, 'a')):
        with pytest.raises(ValueError, match=f"w.pth: expected .* key 'state_dict', .* got none there, but {keys};"):
            load_weights(Detector(), content, 'w.pth')
    assert len(load_weights(Detector(), weights, 'w.pth').taken) == 8
