"""What would fail or mislead after minutes is said from the config alone, with the place and the remedy."""

import copy
import itertools
import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from mmdet_ir.apis import IRInferencer, preflight, unsaved
from mmdet_ir.apis.preflight import check_before_testing, check_before_training
from mmdet_ir.apis.tta import set_tta
from mmdet_ir.apis.unread import unread_entries
from mmdet_ir.engine.fitting import weights

import cv2
import numpy as np
import pytest
from mmdet.datasets import CocoDataset
from mmdet.registry import DATA_SAMPLERS, DATASETS, MODELS, TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from torch import nn

REPO = Path(__file__).parents[2]
SYNTHETIC = str(REPO / 'configs/quickstart/mask_rcnn_synthetic.py')
ALL = sorted((REPO / 'configs').glob('[!_]*/**/*.py'))[::6]  # (reading all of them takes a while)
LOAD = [{'type': 'LoadIRImageFromFile'}, {'type': 'LoadAnnotations', 'with_bbox': True, 'with_mask': True}]


def coco(names: list[str], annotations: list | None = None) -> dict:
    images = [{'id': number, 'file_name': name, 'width': 8, 'height': 8} for number, name in enumerate(names, 1)]
    return {'images': images, 'annotations': [{'id': 1}] if annotations is None else annotations, 'categories': []}


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Config]:
    """The small Mask R-CNN on a set in the test's folder, with options."""

    def made(**options: object) -> Config:
        for name in ('train', 'val'):
            (tmp_path / f'{name}.json').write_text(json.dumps(coco(['a.png', 'b.png'])))
        cfg = Config.fromfile(SYNTHETIC)
        for split in ('train', 'val', 'test'):
            dataset = cfg[f'{split}_dataloader'].dataset
            dataset.data_root, dataset.ann_file = f'{tmp_path}/', f'{"train" if split == "train" else "val"}.json'
        cfg.val_evaluator.ann_file = cfg.test_evaluator.ann_file = f'{tmp_path}/val.json'
        cfg.merge_from_dict({key.replace('__', '.'): value for key, value in options.items()})
        return cfg

    return made


def test_no_config_of_ours_is_refused() -> None:
    assert len(ALL) > 10
    for path in ALL:
        cfg = Config.fromfile(path)
        check_before_training(cfg)
        check_before_testing(cfg)


def refused(check: Callable[[Config], None], cfg: Config) -> str:
    with pytest.raises(ValueError, match=r'\w') as caught:
        check(cfg)
    return str(caught.value)


def picture(channels: int) -> dict:
    """What the loaders give: an image of one channel is a plane."""
    size = (64, 96) if channels == 1 else (64, 96, channels)
    masks = np.zeros((1, 64, 96), np.uint8)
    masks[0, 10:40, 10:40] = 1
    return {
        'img': np.random.default_rng(0).integers(0, 255, size).astype(np.uint8),
        'img_shape': (64, 96),
        'gt_bboxes': HorizontalBoxes(np.array([[10, 10, 40, 40]], np.float32)),
        'gt_bboxes_labels': np.array([0]),
        'gt_ignore_flags': np.zeros(1, bool),
        'gt_masks': BitmapMasks(masks, 64, 96),
    }


SETTINGS = {
    'CutOut': {'n_holes': 2, 'cutout_shape': (4, 4)},
    'RandomErasing': {'n_patches': 2, 'ratio': (0.1, 0.2)},
    'CachedMixUp': {'img_scale': (96, 64)},
}


@pytest.mark.parametrize('name', preflight.COLOURS_ONLY)
def test_transforms_for_colours_are_refused_behind_one_channel(config: Callable[..., Config], name: str) -> None:
    """MMDetection's own transform is the oracle: it takes three channels, and fails with one."""
    transform = TRANSFORMS.build({'type': f'mmdet.{name}', **SETTINGS.get(name, {})})
    transform.prob = 1.0
    for channels in (3, 1):
        with nullcontext() if channels == 3 else pytest.raises((ValueError, IndexError, AssertionError, cv2.error)):
            for _ in range(30):
                transform({**picture(channels), 'mix_results': [picture(channels)]})
    cfg = config()
    cfg.train_dataloader.dataset.pipeline = [{**LOAD[0], 'channels': 1}, LOAD[1], {'type': name}]
    told = refused(check_before_training, cfg)
    assert f'train_dataloader.dataset.pipeline: {name} takes images of three channels' in told
    cfg.train_dataloader.dataset.pipeline[0].channels = 3
    check_before_training(cfg)


@pytest.mark.parametrize(('classes', 'sound'), [(('ship',), False), (('ship', 'buoy', 'gull'), True), (None, True)])
def test_labels_of_no_class_are_refused(config: Callable[..., Config], classes: tuple | None, sound: bool) -> None:
    """As the guide has it, ``labels=[1, 2]``; of one class it would change nothing (by default there are four)."""
    cfg = config()
    cfg.train_dataloader.dataset.pipeline = [*LOAD, {'type': 'RandomTargetContrast', 'labels': [1, 2]}]
    if classes is not None:
        cfg.train_dataloader.dataset.metainfo = {'classes': classes}
    told = 'RandomTargetContrast: expected labels below 1, the number of classes, got [1, 2]'
    assert (told in '\n'.join(unread_entries(cfg, ('train',)))) is not sound
    cfg.custom_hooks = [{'type': 'PipelineSwitchHook', 'switch_pipeline': cfg.train_dataloader.dataset.pipeline}]
    cfg.train_dataloader.dataset.pipeline = LOAD
    assert (f'custom_hooks: {told}' in '\n'.join(unread_entries(cfg, ('train',)))) is not sound
    cfg.train_dataloader.dataset.metainfo = {'classes': 'names.txt'}  # a file of names
    assert 'RandomTargetContrast' not in '\n'.join(unread_entries(cfg, ('train',)))


def test_scores_that_would_be_followed_downwards(config: Callable[..., Config]) -> None:
    """mmengine's schedule on a plateau goes down by default."""
    plateau = {'type': 'ReduceOnPlateauLR', 'monitor': 'coco/segm_mAP'}
    stop = {'type': 'EarlyStoppingHook', 'monitor': 'coco/segm_mAP'}
    saving = {'default_hooks__checkpoint__save_best': 'coco/segm_mAP'}
    for wrong, right, place in (
        ({**saving, 'default_hooks__checkpoint__rule': 'less'}, saving, 'default_hooks.checkpoint.rule'),
        (
            {'param_scheduler': [plateau]},
            {'param_scheduler': [{**plateau, 'rule': 'greater'}]},
            'param_scheduler[0].rule',
        ),
        ({'custom_hooks': [{**stop, 'rule': 'less'}]}, {'custom_hooks': [stop]}, 'custom_hooks[0].rule'),
    ):
        assert f"{place}: expected 'greater'" in refused(check_before_training, config(**wrong))
        check_before_training(config(**right))


def test_factors_of_a_weight_decay_that_is_not_there(config: Callable[..., Config]) -> None:
    cfg = config()
    cfg.optim_wrapper.optimizer = {'type': 'SGD', 'lr': 0.01}
    for factors in ({'norm_decay_mult': 0.0}, {'custom_keys': {'backbone': {'decay_mult': 0.1}}}):
        cfg.optim_wrapper.paramwise_cfg = factors
        told = refused(check_before_training, cfg)
        assert 'optim_wrapper.optimizer.weight_decay: expected a number' in told and 'decay_mult' in told
    for change in ({'optimizer.weight_decay': 0.0}, {'paramwise_cfg': None}):
        changed = copy.deepcopy(cfg)
        changed.merge_from_dict({f'optim_wrapper.{key}': value for key, value in change.items()})
        check_before_training(changed)


@pytest.mark.parametrize('name', ['Mosaic', 'MixUp', 'RandomAffine'])
def test_a_transform_that_leaves_masks_behind(config: Callable[..., Config], name: str) -> None:
    cfg = config()
    inner = {**cfg.train_dataloader.dataset, 'pipeline': LOAD}
    mixed = {'type': 'MultiImageMixDataset', 'dataset': inner, 'pipeline': [{'type': name}, {'type': 'PackDetInputs'}]}
    cfg.train_dataloader.dataset = {'type': 'RepeatDataset', 'times': 2, 'dataset': mixed}
    text = refused(check_before_training, cfg)
    assert (
        f'train_dataloader.dataset.dataset.pipeline: {name} moves' in text
        and f'take {preflight.MASKS_LEFT[name]}' in text
    )
    boxes = [LOAD[0], {'type': 'LoadAnnotations', 'with_bbox': True}]
    cfg.train_dataloader.dataset.dataset.dataset.pipeline = boxes
    check_before_training(cfg)


def test_masks_left_behind_within_another_transform(config: Callable[..., Config]) -> None:
    choice = {'type': 'RandomChoice', 'transforms': [[{'type': 'RandomShift'}], []]}
    cfg = config(train_dataloader__dataset__pipeline=[*LOAD, choice, {'type': 'PackDetInputs'}])
    assert 'RandomShift moves' in refused(check_before_training, cfg)


ONE = [{'type': 'LoadIRImageFromFile', 'channels': 1}, LOAD[1], {'type': 'PackDetInputs'}]
GREY = {
    'model__data_preprocessor__mean': [114.5],
    'model__data_preprocessor__std': [57.6],
    'model__data_preprocessor__bgr_to_rgb': False,
}
LOADERS = {f'{split}_dataloader__dataset__pipeline': ONE for split in ('train', 'val', 'test')}


@pytest.mark.parametrize(
    'options',
    [
        {'model__backbone__in_channels': 1},
        {'train_dataloader__dataset__pipeline': ONE},
        {'model__backbone__in_channels': 1, **LOADERS},
        {**LOADERS, **GREY},
        {'model__backbone__in_channels': 1, 'train_dataloader__dataset__pipeline': ONE, **GREY},
    ],
)
def test_one_channel_has_to_be_one_everywhere(config: Callable[..., Config], options: dict) -> None:
    text = refused(check_before_training, config(**options))
    for place in ('train_dataloader', 'model.data_preprocessor', 'model.backbone.in_channels=1'):
        assert place in text


def test_one_channel_everywhere_is_right(config: Callable[..., Config]) -> None:
    cfg = config(model__backbone__in_channels=1, **LOADERS, **GREY)
    check_before_training(cfg)
    check_before_testing(cfg)
    cfg.model.data_preprocessor.bgr_to_rgb = True
    assert 'bgr_to_rgb: expected False' in refused(check_before_training, cfg)


@pytest.mark.parametrize('value', ['segm_mAP', 'coco/segm_map', ['coco/segm_mAP', 'bbox_mAP']])
def test_the_best_checkpoint_follows_a_score_that_exists(config: Callable[..., Config], value: object) -> None:
    text = refused(check_before_training, config(default_hooks__checkpoint__save_best=value))
    assert 'default_hooks.checkpoint.save_best: expected a score' in text and 'coco/bbox_mAP_50' in text


def test_scores_of_boxes_alone(config: Callable[..., Config]) -> None:
    text = refused(check_before_training, config(val_evaluator__metric='bbox'))
    assert "got 'coco/segm_mAP'; take 'coco/bbox_mAP'" in text
    check_before_training(config(val_evaluator__metric='bbox', default_hooks__checkpoint__save_best='coco/bbox_mAP'))
    check_before_training(config(default_hooks__checkpoint__save_best='coco/segm_mAP/uav'))
    check_before_training(config(default_hooks__checkpoint__save_best='auto'))


def test_stops_and_schedules_follow_a_score_that_exists(config: Callable[..., Config]) -> None:
    cfg = config(custom_hooks=[{'type': 'EarlyStoppingHook', 'monitor': 'segm_mAP'}])
    assert 'custom_hooks[0].monitor' in refused(check_before_training, cfg)
    cfg = config(param_scheduler=[{'type': 'ReduceOnPlateauLR', 'monitor': 'loss'}])
    assert 'param_scheduler[0].monitor' in refused(check_before_training, cfg)


def test_without_validation_nothing_follows_a_score(config: Callable[..., Config]) -> None:
    nothing = dict.fromkeys(('val_cfg', 'val_dataloader', 'val_evaluator'))
    check_before_training(config(default_hooks__checkpoint__save_best='x', **nothing))


@pytest.mark.parametrize('missing', ['test_dataloader', 'test_evaluator', 'test_cfg'])
def test_a_config_that_cannot_be_tested(config: Callable[..., Config], missing: str) -> None:
    cfg = config(**{missing: None})
    assert f'{cfg.filename}: expected {missing}, which this tool needs' in refused(check_before_testing, cfg)
    del cfg._cfg_dict[missing]
    assert f'expected {missing}' in refused(check_before_testing, cfg)


# (robustness, testing by tiles, masks in boxes and exported scores ask in the same way)
@pytest.mark.parametrize('asks', [weights.test_set_meta, set_tta, lambda cfg: IRInferencer(cfg, 'edge', 'cpu')])
def test_whoever_asks_for_a_test_set_that_is_not_there_is_told(config: Callable[..., Config], asks: Callable) -> None:
    assert 'expected test_dataloader, which this tool needs' in refused(asks, config(test_dataloader=None))


def test_an_evaluator_of_other_images(config: Callable[..., Config], tmp_path: Path) -> None:
    cfg = config()
    (tmp_path / 'other.json').write_text(json.dumps(coco(['a.png', 'c.png'])))
    cfg.val_evaluator.ann_file = cfg.test_evaluator.ann_file = f'{tmp_path}/other.json'
    for check, split in ((check_before_training, 'val'), (check_before_testing, 'test')):
        text = refused(check, cfg)
        assert f'{split}_evaluator.ann_file is {tmp_path}/other.json' in text and "such as 'b.png' (id '2')" in text
    cfg.test_evaluator.update(format_only=True, outfile_prefix='x')
    check_before_testing(cfg)


def test_an_evaluator_of_a_copy_or_of_more_images_is_right(config: Callable[..., Config], tmp_path: Path) -> None:
    cfg = config()
    (tmp_path / 'more.json').write_text(json.dumps(coco(['a.png', 'b.png', 'c.png'])))
    cfg.val_evaluator.ann_file = f'{tmp_path}/more.json'
    check_before_training(cfg)
    cfg.val_evaluator.ann_file = f'{tmp_path}/none.json'
    assert 'does not exist' in refused(check_before_training, cfg)


def test_a_set_without_targets_is_told(
    config: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(preflight, 'print_log', lambda text, *to: said.append(text))
    cfg = config()
    check_before_training(cfg)
    assert said == []
    (tmp_path / 'val.json').write_text(json.dumps(coco(['a.png', 'b.png'], [])))
    check_before_training(cfg)
    assert len(said) == 1
    assert said[0].startswith(f'val_evaluator.ann_file: {tmp_path}/val.json has no targets')


def test_a_port_that_is_taken_ends_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [str(REPO / 'tools/dist_train.sh'), 'config.py', '2']
        done = subprocess.run(
            command,
            env={'PORT': port, 'PYTHON': sys.executable, 'PATH': '/usr/bin:/bin'},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 2
    assert done.stderr == f'error: expected a free port, got {port}, which is taken; choose another by PORT=...\n'


def test_masks_of_a_model_without_a_mask_head(config: Callable[..., Config]) -> None:
    cfg = config()
    cfg.model = {'type': 'FasterRCNN', 'roi_head': {'type': 'StandardRoIHead', 'mask_head': None}}
    for check, split in ((check_before_training, 'val'), (check_before_testing, 'test')):
        text = refused(check, cfg)
        assert f"{split}_evaluator.metric='bbox'" in text and 'FasterRCNN' in text
    cfg.model = {'type': 'mmdet.FCOS', 'bbox_head': {'type': 'FCOSHead'}}
    assert 'no mask head' in refused(check_before_testing, cfg)
    cfg.test_evaluator.metric = 'bbox'
    check_before_testing(cfg)


@pytest.mark.parametrize(
    'model',
    [
        {'type': 'RTMDet', 'bbox_head': {'type': 'RTMDetInsSepBNHead'}},
        {'type': 'YOLACT', 'bbox_head': {'type': 'YOLACTHead'}, 'mask_head': {'type': 'YOLACTProtonet'}},
        {'type': 'SOLO', 'mask_head': {'type': 'SOLOHead'}},
        {'type': 'Mask2Former', 'panoptic_head': {'type': 'Mask2FormerHead'}},
    ],
)
def test_models_whose_masks_come_from_elsewhere(config: Callable[..., Config], model: dict) -> None:
    cfg = config()
    cfg.model = model
    check_before_testing(cfg)


@pytest.mark.parametrize('name', preflight.ENDLESS)
def test_samplers_without_an_end(config: Callable[..., Config], name: str) -> None:
    epochs = {'train_cfg': {'_delete_': True, 'type': 'EpochBasedTrainLoop', 'max_epochs': 2}}
    steps = {'train_cfg': {'_delete_': True, 'type': 'IterBasedTrainLoop', 'max_iters': 2}}
    sampler = {'train_dataloader__sampler': {'_delete_': True, 'type': name}}
    told = refused(check_before_training, config(**sampler, **epochs))
    assert f'train_dataloader.sampler: expected a sampler that ends, got {name}' in told
    assert 'train_dataloader.sampler' in refused(
        check_before_training, config(**sampler, train_cfg={'by_epoch': True})
    )
    check_before_training(config(**sampler, **steps))
    tests = {'test_dataloader__sampler': {'_delete_': True, 'type': name}}
    assert 'the first test would never end' in refused(check_before_testing, config(**tests))


@pytest.mark.parametrize(('interval', 'told'), [(3, True), (-1, True), (2, False), (1, False)])
def test_a_training_that_saves_nothing(
    config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch, interval: int, told: bool
) -> None:
    said: list[str] = []
    monkeypatch.setattr(unsaved, 'print_log', lambda text, *to: said.append(text))
    epochs = {'train_cfg': {'_delete_': True, 'type': 'EpochBasedTrainLoop', 'max_epochs': 2}}
    hook = {'type': 'CheckpointHook', 'interval': interval, 'save_last': False, '_delete_': True}
    cfg = config(default_hooks__checkpoint=hook, **epochs)
    check_before_training(cfg)
    assert any(f'interval={interval} for 2 epochs' in line and 'no weights are saved' in line for line in said) == told


@pytest.mark.parametrize(('by_epoch', 'told'), [(True, True), (False, False), (None, True)])
def test_a_training_in_iterations_that_saves_by_epoch(
    config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch, by_epoch: bool | None, told: bool
) -> None:
    """MMEngine's hook then writes a single checkpoint, after the last iteration."""
    said: list[str] = []
    monkeypatch.setattr(unsaved, 'print_log', lambda text, *to: said.append(text))
    loop = {'train_cfg': {'_delete_': True, 'type': 'IterBasedTrainLoop', 'max_iters': 900}}
    hook = {'type': 'CheckpointHook', 'interval': 1, '_delete_': True}
    hook |= {} if by_epoch is None else {'by_epoch': by_epoch}
    check_before_training(config(default_hooks__checkpoint=hook, **loop))
    assert any('by_epoch=True in a training of 900 iterations' in line for line in said) == told


def test_a_sampler_without_an_end_gives_more_than_there_is() -> None:
    sampler = DATA_SAMPLERS.build({'type': 'InfiniteSampler', 'dataset': range(3), 'shuffle': False})
    assert list(itertools.islice(sampler, 7)) == [0, 1, 2, 0, 1, 2, 0]


UNREAD = {
    'train_dataloader__dataset__filter_cfg__min_sise': (32, 'filter_cfg of train_dataloader.dataset', 'min_size'),
    'train_dataloader__dataset__data_prefix__imgs': ('x/', 'data_prefix of train_dataloader.dataset', 'img'),
    'optim_wrapper__paramwise_cfg__norm_decay_multi': (0.0, 'optim_wrapper.paramwise_cfg', 'norm_decay_mult'),
    'optim_wrapper__paramwise_cfg__custom_keys__neck__lr_multi': (
        0.1,
        "optim_wrapper.paramwise_cfg.custom_keys['neck']",
        'lr_mult',
    ),
    'model__test_cfg__rcnn__score_thres': (0.5, 'model.test_cfg.rcnn', 'score_thr'),
    'model__test_cfg__rcnn__max_per_image': (9, 'model.test_cfg.rcnn', 'max_per_img'),
    'model__train_cfg__rcnn__mask_sise': (14, 'model.train_cfg.rcnn', 'mask_size'),
    'env_cfg__cudnn_benchmrk': (True, 'env_cfg', 'cudnn_benchmark'),
    'randomness__sed': (1, 'randomness', 'seed'),
    'default_hooks__chekpoint': ({'type': 'CheckpointHook', 'interval': 5}, 'default_hooks', 'checkpoint'),
    'default_hooks__checkpoint__max_keep_ckpt': (1, 'default_hooks.checkpoint', 'max_keep_ckpts'),
}


@pytest.mark.parametrize('key', UNREAD)
def test_entries_that_nothing_reads_are_refused(config: Callable[..., Config], key: str) -> None:
    value, place, meant = UNREAD[key]
    told = refused(check_before_training, config(**{key: value}))
    name = key.rsplit('__', 1)[-1]
    assert re.search(
        rf'{re.escape(place)}: expected entries that are read, .*got {name!r}.*; did you mean {meant!r}', told
    )
    if not key.startswith(('optim', 'train', 'model__train', 'env', 'rand', 'default')):
        assert meant in refused(check_before_testing, config(**{key: value}))
    key = key.removesuffix(name) + meant
    if key != 'default_hooks__checkpoint':
        check_before_training(config(**{key: value, 'optim_wrapper__optimizer__weight_decay': 0.1}))


def test_entries_of_other_classes_are_left_alone(config: Callable[..., Config]) -> None:
    """A data set, a constructor and a model of one's own may read what they like."""

    @DATASETS.register_module(force=True)
    class MyNightDataset(BaseDataset):
        pass

    cfg = config(train_dataloader__dataset__filter_cfg={'night_only': True})
    assert "got 'night_only'" in refused(check_before_training, cfg)
    cfg.train_dataloader.dataset.type = 'MyNightDataset'
    check_before_training(cfg)
    cfg.optim_wrapper.update(constructor='MyConstructor', paramwise_cfg={'decay_rate': 0.5})
    check_before_training(cfg)

    @MODELS.register_module(force=True)
    class MyNightHead(nn.Module):
        pass

    cfg.model.test_cfg.rcnn.score_thr2 = 0.5
    assert "got 'score_thr2'" in refused(check_before_training, cfg)
    cfg.model.roi_head.bbox_head.type = 'MyNightHead'
    check_before_training(cfg)


def test_what_a_misspelt_filter_would_have_done(tmp_path: Path) -> None:
    """MMDetection's own data set as the oracle: the wrong name keeps an image that the right one leaves out."""
    target = {'id': 1, 'image_id': 1, 'category_id': 1, 'bbox': [0, 0, 4, 4], 'area': 16, 'iscrowd': 0}
    content = coco(['a.png'], [target]) | {'categories': [{'id': 1, 'name': 'car'}]}
    (tmp_path / 'a.json').write_text(json.dumps(content))
    left = {}
    for name in ('min_size', 'min_sise'):
        settings = {'filter_cfg': {name: 32}, 'metainfo': {'classes': ('car',)}, 'serialize_data': False}
        left[name] = len(CocoDataset(ann_file=str(tmp_path / 'a.json'), data_prefix={'img': ''}, **settings))
    assert left == {'min_size': 0, 'min_sise': 1}


def test_a_schedule_that_begins_where_it_ends(config: Callable) -> None:
    """What `max_iters=20` leaves of a schedule for the last part of a long training."""
    late = {'type': 'LinearLR', 'by_epoch': False, 'begin': 30, 'end': 20}
    fine = {'type': 'LinearLR', 'by_epoch': False, 'end': 10}
    cfg = config(param_scheduler=[fine, late])
    with pytest.raises(ValueError, match=r'param_scheduler\[1\] \(LinearLR\): .* 20, got begin=30; .* --epochs'):
        check_before_training(cfg)
    loop = {'_delete_': True, 'type': 'IterBasedTrainLoop', 'max_iters': 20}
    with pytest.raises(ValueError, match='got begin=30; begin it earlier'):  # (--epochs refuses it)
        check_before_training(config(param_scheduler=[fine, late], train_cfg=loop))
    cfg.param_scheduler = {'generator': [fine], 'discriminator': late}
    with pytest.raises(ValueError, match=r'param_scheduler\.discriminator\[0\]'):
        check_before_training(cfg)
    cfg.param_scheduler = [fine]
    check_before_training(cfg)
