"""Configs as people write them: they train on what was meant, or the place in the config is told at the start."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from road import CLASSES, Trained, coco, put, write_set

FIRST_STEP = r'Epoch\(train\) +\[1\]'


def refused(done: object, *patterns: str) -> None:
    """Told, and before the first step."""
    done.told(*patterns)
    assert not re.search(FIRST_STEP, done.text), done.text[-3000:]


def test_six_classes_are_trained_tested_and_drawn(tool: Callable, trained: Trained, tmp_path: Path) -> None:
    everything = ('--cfg-options', 'model.test_cfg.rcnn.score_thr=0.0')
    config, checkpoint = trained.config, trained.checkpoint
    tested = tool('test.py', config, checkpoint, '--work-dir', tmp_path / 't', '--show-dir', 'drawn', *everything)
    tested.went_well('hot engine')
    assert len(list((tmp_path / 't').glob('*/drawn/**/*.png'))) == 4
    tool('infer.py', config, checkpoint, trained.images, '--out', tmp_path / 'found', '--score', '0.0').went_well()
    tool('data/browse.py', config, '--out', tmp_path / 'page.html').went_well()
    tool('analysis/draw_grid.py', config, checkpoint, '--out', tmp_path / 'grid.png').went_well()
    assert 'small boat' in (tmp_path / 'page.html').read_text()


def test_a_class_that_is_a_text(tool: Callable, write_config: Callable, tmp_path: Path) -> None:
    config = write_config(('ship',), "\n_base_.train_dataloader.dataset.metainfo = dict(classes=('ship'))\n")
    config.write_text(config.read_text().replace("classes=('ship',)", "classes='ship'"))
    refused(tool('train.py', config, '--work-dir', tmp_path / 'run'), 'classes', 'ship')


@pytest.mark.parametrize('head', ['bbox_head', 'mask_head'])
@pytest.mark.parametrize('hooks', ['', 'custom_hooks = []\n'], ids=['inherited hooks', 'hooks of its own'])
def test_a_head_with_another_number_of_classes(
    tool: Callable, write_config: Callable, tmp_path: Path, head: str, hooks: str
) -> None:
    config = write_config(('ship',), f'{hooks}model["roi_head"]["{head}"]["num_classes"] = 4\n')
    refused(tool('train.py', config, '--work-dir', tmp_path / 'run'), rf'{head}.*num_classes|num_classes.*{head}')


@pytest.mark.parametrize(
    ('more', 'words'),
    [
        ("default_hooks['checkpoint'] = dict(save_best='segm_mAP')", ('save_best', 'segm_mAP')),
        ("val_evaluator['metric'] = 'bbox'", ('save_best|metric', 'segm_mAP')),
        ('model["backbone"] = dict(in_channels=1)', ('in_channels', 'channels')),
        ('model["data_preprocessor"] = dict(mean=[100.0], std=[50.0])', ('mean',)),
        ('model["roi_head"]["bbox_head"]["reg_decoded_bbox"] = False', ('reg_decoded_bbox',)),
        ("val_evaluator['ann_file'] = 'OTHER'", ('ann_file',)),
        (
            "param_scheduler = [dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=500)]",
            ('warm-up|warmup', '500'),
        ),
    ],
    ids=[
        'misspelt best',
        'best without masks',
        'grey backbone',
        'grey mean',
        'boxes not decoded',
        'other set',
        'warm-up',
    ],
)
def test_what_cannot_be_meant_is_told_before_the_first_step(
    tool: Callable, write_config: Callable, tmp_path: Path, more: str, words: tuple[str, ...]
) -> None:
    other = coco(4)
    for image in other['images']:
        image['id'] += 100
    for annotation in other['annotations']:
        annotation['image_id'] += 100
    file = put(tmp_path / 'other.json', other)
    config = write_config(more=more.replace('OTHER', str(file)) + '\n')
    done = tool('train.py', config, '--work-dir', tmp_path / 'run')
    done.said(*words)
    told = re.search(words[0], done.text, re.IGNORECASE)
    step = re.search(FIRST_STEP, done.text)
    assert done.code == 2 or (step is not None and told.start() < step.start()), done.text[-3000:]


def test_losses_of_boxes_as_differences_and_as_boxes(tool: Callable, write_config: Callable, tmp_path: Path) -> None:
    reverse = "model['roi_head']['bbox_head']['loss_bbox'] = dict(_delete_=True, type='SmoothL1Loss')\n"
    done = tool('train.py', write_config(more=reverse), '--work-dir', tmp_path / 'run')
    refused(done, 'reg_decoded_bbox', 'SmoothL1Loss')


@pytest.mark.parametrize(
    ('option', 'words'),
    [
        ('max_epochs=2', 'train_cfg.max_epochs'),
        ('model.roi_head.bbox_hed.num_classes=4', 'did you mean model.roi_head.bbox_head'),
    ],
)
def test_options_that_nothing_reads(
    tool: Callable, write_config: Callable, tmp_path: Path, option: str, words: str
) -> None:
    done = tool('train.py', write_config(), '--work-dir', tmp_path / 'run', '--cfg-options', option)
    refused(done, words)


def test_another_folder_by_option_reaches_every_place(tool: Callable, write_config: Callable, tmp_path: Path) -> None:
    config = write_config()
    twice = write_set(tmp_path / 'twice', coco(8))
    done = tool('train.py', config, '--work-dir', tmp_path / 'run', '--cfg-options', f'data_root={twice}/')
    if done.code:
        refused(done, 'data_root')
    else:  # eight images in batches of two
        assert re.search(r'Epoch\(train\) +\[1\]\[4/4\]', done.text), done.text[-3000:]
        (metrics,) = (tmp_path / 'run').glob('*/metrics_val_*.json')
        assert json.loads(metrics.read_text())['metrics']['segm']['all']['targets'] == 32


def test_resuming_with_another_schedule_is_told(tool: Callable, write_config: Callable, tmp_path: Path) -> None:
    config, work_dir = write_config(), tmp_path / 'run'
    tool('train.py', config, '--work-dir', work_dir).went_well()
    lr = 'optim_wrapper.optimizer.lr=0.0123'
    done = tool(
        'train.py', config, '--work-dir', work_dir, '--resume', '--cfg-options', 'train_cfg.max_epochs=2', lr
    ).said('')
    used = re.findall(r'Epoch\(train\) +\[2\]\[[^]]*\] +base_lr: (\S+)', done.text)
    assert done.code == 2 or '0.0123' in done.text.partition('Epoch(train)')[0] or float(used[-1]) == 0.0123
    again = tool('train.py', config, '--work-dir', work_dir, '--resume', '--cfg-options', 'train_cfg.max_epochs=2')
    again.said('nothing|finished|already')


def test_weights_of_other_models_are_not_scored(
    tool: Callable, trained: Trained, write_config: Callable, tmp_path: Path
) -> None:
    image = next(trained.images.iterdir())
    plain = put(tmp_path / 'plain.py', trained.config.read_text().replace('_bnsa_focalsiou_mbcedicels', ''))
    for arguments in (
        ('test.py', plain, trained.checkpoint, '--work-dir', tmp_path / 'a'),
        ('test.py', write_config(), trained.checkpoint, '--work-dir', tmp_path / 'b'),
        ('infer.py', plain, trained.checkpoint, trained.images, '--out', tmp_path / 'c'),
        ('analysis/draw_grid.py', plain, trained.checkpoint, '--out', tmp_path / 'd.png'),
        ('analysis/draw_feature_maps.py', write_config(), trained.checkpoint, image, '--out', tmp_path / 'e.png'),
        ('deploy/export.py', plain, trained.checkpoint, '--format', 'onnx', '--out', tmp_path / 'f.onnx'),
    ):
        tool(*arguments).told(r'epoch_1\.pth')
    assert not [path for name in 'cdef' for path in tmp_path.glob(f'{name}*')]


def test_weights_with_other_classes_in_their_heads_are_not_scored(
    tool: Callable, trained: Trained, tmp_path: Path
) -> None:
    """Six classes in another order: everything fits, and everything would be named wrongly."""
    text = trained.config.read_text().replace("'person', 'truck'", "'truck', 'person'")
    swapped = put(tmp_path / 'swapped.py', text)
    done = tool('test.py', swapped, trained.checkpoint, '--work-dir', tmp_path / 'a')
    done.said('classes', 'truck')
    assert done.code == 2 or 'warn' in done.text.lower()


def test_starting_from_weights_says_what_starts_anew(
    tool: Callable, trained: Trained, write_config: Callable, tmp_path: Path
) -> None:
    start = f'load_from={trained.checkpoint}'
    done = tool('train.py', write_config(), '--work-dir', tmp_path / 'a', '--cfg-options', start).went_well()
    before = done.text.partition('Epoch(train)')[0]
    assert 'roi_head.bbox_head.fc_cls' in before and 'roi_head.mask_head.conv_logits' in before, before[-3000:]
    nothing = tmp_path / 'nothing.pth'
    torch.save({'state_dict': {'something.weight': torch.zeros(3)}}, nothing)
    done = tool('train.py', write_config(), '--work-dir', tmp_path / 'b', '--cfg-options', f'load_from={nothing}')
    refused(done, r'nothing\.pth')


def test_resuming_with_other_heads(tool: Callable, trained: Trained, write_config: Callable, tmp_path: Path) -> None:
    done = tool('train.py', write_config(), '--work-dir', tmp_path / 'run', '--resume', trained.checkpoint)
    refused(done, r'epoch_1\.pth', 'load_from')


WRAPPED = """
inner = {**_base_.train_dataloader.dataset, **data}
train_dataloader['dataset'] = dict(_delete_=True, type='RepeatDataset', times=2, dataset=dict(
    type='ConcatDataset', datasets=[dict(type='ClassBalancedDataset', oversample_thr=0.3, dataset=inner), inner]))
outer = {**_base_.test_dataloader.dataset, **data}
test_dataloader = dict(**{**val_dataloader, 'dataset': dict(_delete_=True, type='ConcatDataset', datasets=[outer])})
"""


def test_sets_in_wrappers(tool: Callable, write_config: Callable, tmp_path: Path) -> None:
    config = write_config(more=WRAPPED)
    tool('train.py', config, '--work-dir', tmp_path / 'run').went_well()
    checkpoint = tmp_path / 'run' / 'epoch_1.pth'
    tool('test.py', config, checkpoint, '--tta', '--work-dir', tmp_path / 'tta').went_well('masks, all')
    images = tmp_path / 'mine_data' / 'images'
    tool('infer.py', config, checkpoint, images, '--out', tmp_path / 'found').went_well()
    tool('data/browse.py', config, '--out', tmp_path / 'page.html').went_well()
    model = tmp_path / 'model.onnx'
    tool('deploy/export.py', config, checkpoint, '--format', 'onnx', '--out', model).went_well()
    tool('deploy/test_exported.py', model, config).went_well()
    tool('deploy/quantize.py', model, config, '--out', tmp_path / 'small.onnx', '--number', '3').went_well()


def test_a_hook_switches_the_pipeline(tool: Callable, write_config: Callable, tmp_path: Path) -> None:
    """From the second epoch on, images are rotated to another size, which the loss of BNSA's maps cannot hide."""
    switch = """
train_cfg = dict(max_epochs=2, val_interval=10)
later = [dict(type='LoadIRImageFromFile'), dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
         dict(type='Resize', scale=(160, 128), keep_ratio=False), dict(type='Collect')]
custom_hooks = [dict(type='PipelineSwitchHook', switch_epoch=1, switch_pipeline=later)]
"""
    config = write_config(more=switch)
    done = tool('train.py', config, '--work-dir', tmp_path / 'run')
    refused_name = re.search("'Collect'|Collect is not", done.text)  # the later pipeline was really built
    assert done.code != 0 and refused_name, done.text[-2000:]


def test_classes_of_the_project_stay_the_default(tool: Callable, write_config: Callable, tmp_path: Path) -> None:
    done = tool('train.py', write_config(), '--work-dir', tmp_path / 'run').went_well()
    assert all(name in done.text for name in CLASSES)


def test_an_image_of_which_resizing_leaves_nothing(tool: Callable, write_config: Callable, tmp_path: Path) -> None:
    """2 of 2000 pixels in height: a third of one in an image of 320."""
    config = write_config()
    for split in ('train', 'val'):
        file = tmp_path / 'mine_data' / 'annotations' / f'{split}.json'
        content = json.loads(file.read_text())
        content['images'].append({'id': 77, 'file_name': 'thin.png', 'width': 2000, 'height': 2})
        put(file, content)
    put(tmp_path / 'mine_data' / 'images' / 'thin.png', np.zeros((2, 2000), np.uint8))
    refused(tool('train.py', config, '--work-dir', tmp_path / 'run'), r'train\.json', r'thin\.png', '2000x2')
    drawn = "train_dataloader['dataset']['pipeline'] = [*_base_.train_pipeline[:2], dict(type='RandomChoiceResize', "
    drawn += 'scales=[(2000, 2000), (320, 256)], keep_ratio=True), *_base_.train_pipeline[3:]]\n'
    config.write_text(config.read_text() + drawn)
    refused(tool('train.py', config, '--work-dir', tmp_path / 'drawn'), r'thin\.png', '320')


def test_crops_too_small_for_batch_normalisation(tool: Callable, write_config: Callable, tmp_path: Path) -> None:
    crops = """
train_dataloader['batch_size'] = 1
train_dataloader['dataset'] = dict(**data, pipeline=[*_base_.train_pipeline[:2], dict(type='RandomCrop',
    crop_size=(16, 16), allow_negative_crop=True), _base_.train_pipeline[-1]])
model['backbone'] = dict(norm_eval=True)
"""
    done = tool('train.py', write_config(more=crops), '--work-dir', tmp_path / 'run')
    done.told(r'error: train_dataloader', 'batch_size=1', 'crops', 'normalisation')
