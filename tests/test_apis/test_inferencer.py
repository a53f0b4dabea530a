"""The inferencer against the test loop, and what it refuses."""

import io
import json
import os
import pickle
from copy import deepcopy
from pathlib import Path

from mmdet_ir.apis import launch
from mmdet_ir.apis.inference.inferencer import IRInferencer
from mmdet_ir.compat.checkpoint import CheckpointError
from mmdet_ir.datasets.images.infrared_io import read_infrared
from mmdet_ir.engine.fitting.weights import load_fitting_weights

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image
from torch import nn

REPO = Path(__file__).parents[2]
HEIGHT, WIDTH = 60, 88  # the pipeline enlarges to 96x64
CLASSES = ('human', 'car', 'bicycle', 'uav')
CONFIG = """
_base_ = '{repo}/configs/quickstart/mask_rcnn_bnsa_focalsiou_mbcedicels_synthetic16.py'
test_pipeline = [
    _base_.load, _base_.tone_mapping, dict(type='Resize', scale=(96, 64), keep_ratio=True),
    *_base_.test_pipeline[3:]]
test_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=False,
    dataset=dict(data_root='{root}/', image_key='file_name', ann_file='val.json', pipeline=test_pipeline))
test_evaluator = dict(ann_file='{root}/val.json')
model = dict(test_cfg=dict(rpn=dict(nms_pre=50, max_per_img=20), rcnn=dict(score_thr=0.0, max_per_img=4)))
"""


def counts(seed: int) -> np.ndarray:
    """14-bit noise with a hot rectangle."""
    image = np.random.default_rng(seed).normal(7000, 40, (HEIGHT, WIDTH))
    image[20:32, 10 + 8 * seed : 30 + 8 * seed] += 900
    return image.round().astype(np.uint16)


@pytest.fixture(scope='module')
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A test set of three images, a config, and a checkpoint of its model with random weights."""
    root = tmp_path_factory.mktemp('inferencer')
    (root / 'images').mkdir()
    images, objects = [], []
    for i in range(3):
        cv2.imwrite(str(root / 'images' / f'{i}.png'), counts(i))
        images.append({'id': i + 1, 'file_name': f'{i}.png', 'width': WIDTH, 'height': HEIGHT})
        x = 10 + 8 * i
        objects.append(
            {
                'id': i + 1,
                'image_id': i + 1,
                'category_id': 2,
                'bbox': [x, 20, 20, 12],
                'area': 240,
                'iscrowd': 0,
                'segmentation': [[x, 20, x + 20, 20, x + 20, 32, x, 32]],
            }
        )
    categories = [{'id': i, 'name': name} for i, name in enumerate(CLASSES, start=1)]
    (root / 'val.json').write_text(json.dumps({'images': images, 'annotations': objects, 'categories': categories}))
    (root / 'config.py').write_text(CONFIG.format(repo=REPO, root=root))
    init_default_scope('mmdet')
    torch.manual_seed(1)
    model = MODELS.build(Config.fromfile(root / 'config.py').model)
    meta = {'dataset_meta': {'classes': CLASSES}}
    torch.save({'state_dict': model.state_dict(), 'meta': meta}, root / 'weights.pth')
    return root


@pytest.fixture(scope='module')
def inferencer(root: Path) -> IRInferencer:
    return IRInferencer(root / 'config.py', root / 'weights.pth', 'cpu', show_progress=False)


def test_the_former_place_gives_the_same_class() -> None:
    from mmdet_ir.apis import inferencer

    assert inferencer.IRInferencer is IRInferencer


def test_detections_are_those_of_the_test_loop_to_the_last_bit(root: Path, inferencer: IRInferencer) -> None:
    out = root / 'tested.pkl'
    launch.test(str(root / 'config.py'), str(root / 'weights.pth'), work_dir=str(root / 'work'), out=str(out))
    expected = [sample['pred_instances'] for sample in pickle.loads(out.read_bytes())]
    paths = [str(root / 'images' / f'{i}.png') for i in range(3)]
    arrays = [counts(i) for i in range(3)]
    assert all(len(instances['scores']) == 4 for instances in expected)
    for inputs in (paths, arrays):
        found = inferencer(inputs, batch_size=2)['predictions']
        for got, wanted in zip(found, expected, strict=True):
            for key in ('bboxes', 'scores', 'labels'):
                np.testing.assert_array_equal(np.float32(got[key]), np.float32(wanted[key]))
            assert [mask['counts'] for mask in got['masks']] == [mask['counts'].decode() for mask in wanted['masks']]
    # the steps that the command line uses, in the same batch
    batch = [inferencer.prepare(inferencer.read(path), path) for path in paths[:2]]
    for got, wanted in zip(inferencer.predict(batch), expected[:2], strict=True):
        np.testing.assert_array_equal(got.scores.numpy(), wanted['scores'].numpy())
        assert got.masks.shape == (4, HEIGHT, WIDTH)


def test_pictures_are_what_the_model_saw(root: Path, inferencer: IRInferencer) -> None:
    """Counts around 7000 would be near black, or white, if the file were read again as 8 bits."""
    result = inferencer(
        [str(root / 'images' / '0.png')], return_vis=True, draw_pred=False, out_dir=str(root / 'drawn')
    )
    picture = result['visualization'][0]
    assert picture.shape == (10 * HEIGHT, 10 * WIDTH, 3)  # 960 // 88
    assert picture[250:270, 150:250].mean() > picture[450:, :].mean() + 60
    np.testing.assert_array_equal(cv2.imread(str(root / 'drawn' / 'vis' / '0.png'))[..., ::-1], picture)


def test_pictures_of_equal_names_do_not_replace_each_other(root: Path, inferencer: IRInferencer) -> None:
    paths = [root / 'twice' / folder / 'a.png' for folder in ('x', 'y')] + [root / 'twice' / 'x' / 'a.tif']
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), counts(number))
    out = root / 'drawn_twice'
    shown = inferencer([str(path) for path in paths], return_vis=True, out_dir=str(out))['visualization']
    for name, picture in zip(('a.png', 'a_2.png', 'a_3.png'), shown, strict=True):
        np.testing.assert_array_equal(cv2.imread(str(out / 'vis' / name))[..., ::-1], picture)


def test_predictions_are_named_as_the_pictures(root: Path, inferencer: IRInferencer, tmp_path: Path) -> None:
    """Three images, of which two have one name, and arrays, which have none; in two calls."""
    for number, folder in enumerate('xy'):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / 'a.png'), counts(number))
    given = [str(tmp_path / 'x' / 'a.png'), str(tmp_path / 'y' / 'a.png'), counts(2), counts(3)]
    found = inferencer(given, out_dir=str(tmp_path / 'out'), no_save_pred=False)['predictions']
    found += inferencer(counts(4), out_dir=str(tmp_path / 'out'), no_save_pred=False)['predictions']
    scores = [json.loads(path.read_text())['scores'] for path in (tmp_path / 'out' / 'preds').iterdir()]
    assert sorted(scores) == sorted(one['scores'] for one in found) and len(scores) == 5
    for name, number in (('a', 0), ('a_2', 1)):
        assert json.loads((tmp_path / 'out' / 'preds' / f'{name}.json').read_text()) == found[number]
    assert {path.stem for path in (tmp_path / 'out' / 'preds').iterdir()} == {
        path.stem for path in (tmp_path / 'out' / 'vis').iterdir()
    }
    np.save(tmp_path / 'stack.npy', np.stack([counts(5), counts(6)]))
    pages = [{'img_path': str(tmp_path / 'stack.npy'), 'page': page} for page in (0, 1, 0)]
    inferencer(pages, out_dir=str(tmp_path / 'pages'), no_save_pred=False)
    for folder in ('preds', 'vis'):  # the first page again is the first page
        assert {path.stem for path in (tmp_path / 'pages' / folder).iterdir()} == {'stack', 'stack_2'}
    inferencer(given[0], out_dir=str(tmp_path / 'alone'), no_save_pred=False, no_save_vis=True)
    assert [path.name for path in (tmp_path / 'alone' / 'preds').iterdir()] == ['a.json']


def test_grey_arrays_of_every_form_are_equal(inferencer: IRInferencer) -> None:
    grey = (counts(1) // 32).astype(np.uint8)
    reference = inferencer.prepare(grey, 'a')['inputs']
    assert reference.float().std() > 5
    for same in (grey[..., None], np.repeat(grey[..., None], 3, axis=2), grey.astype(np.float64)):
        difference = inferencer.prepare(same, 'a')['inputs'].int() - reference.int()
        assert difference.abs().max() <= 1  # percentiles of floats are interpolated


@pytest.mark.parametrize(
    ('image', 'message'),
    [
        (np.full((8, 8), np.nan), '64 of 64 values are NaN'),
        (np.zeros((8, 8, 2), np.uint8), 'expected shape'),
        (np.array([['a']]), 'expected integers'),
        (np.arange(64, dtype=np.uint16).reshape(8, 8), '8-bit content in a 16-bit file'),
        (np.random.default_rng(0).integers(0, 9, (8, 8, 3)).astype(np.uint8), 'got colours'),
    ],
)
def test_arrays_pass_the_checks_of_files(inferencer: IRInferencer, image: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=f'image mine: .*{message}'):
        inferencer.prepare(image, 'mine')


def foreign() -> dict[str, tuple[object, str]]:
    """What is neither a path nor an array, and how a message names it."""
    return {
        'PIL': (Image.fromarray(np.zeros((8, 8), np.uint8)), r'PIL\.Image\.Image; numpy\.asarray\(\) makes'),
        'tensor': (torch.zeros(8, 8), r'torch\.Tensor; numpy\.asarray\(\) makes'),
        'none': (None, r'NoneType$'),
        'number': (7, r'int$'),
        'bytes': (b'a.png', r'bytes$'),
        'rows': ([[0, 1], [2, 3]], r'list$'),
        'generator': ((name for name in ['a.png']), r'generator$'),
        'file': (io.BytesIO(b'a'), r'_io\.BytesIO$'),
    }


@pytest.mark.parametrize('kind', foreign())
def test_what_is_neither_a_path_nor_an_array_is_named_by_its_type(inferencer: IRInferencer, kind: str) -> None:
    given, got = foreign()[kind]
    accepted = r'^expected a path \(str or os\.PathLike\), an array \(numpy\.ndarray.*\) or a dictionary .*, got '
    array, path = r'^image mine: expected an array \(numpy\.ndarray.*\), got ', r'^expected a path \(str .*\), got '
    calls = [
        (accepted, lambda: inferencer([given])),
        (accepted, lambda: inferencer(('a.png', given))),  # before the first image is computed
        (path, lambda: inferencer({'img_path': given})),
        (path, lambda: inferencer.read(given)),
        (path, lambda: read_infrared(given)),
        (array, lambda: inferencer({'img': given, 'img_path': 'mine'})),
        (array, lambda: inferencer.prepare(given, 'mine')),
        (array, lambda: inferencer.predict_tiled(given, 'mine', (64, 64))),
    ]
    if kind != 'rows':  # (a list is a list of images)
        calls.append((accepted, lambda: inferencer(given)))
    for expected, call in calls:
        with pytest.raises(TypeError, match=expected + got):
            call()


def test_other_mistakes_in_what_is_given(inferencer: IRInferencer, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"expected a dictionary with img or img_path, got the keys \['image'\]"):
        inferencer({'image': counts(0)})
    with pytest.raises(TypeError, match=r'predict: expected images as prepare returns them, got numpy\.ndarray'):
        inferencer.predict([counts(0)])
    with pytest.raises(ValueError, match='expected image files, got a folder without any'):
        inferencer(str(tmp_path))
    config, weights = inferencer._names
    with pytest.raises(TypeError, match=r'^config: expected a path .* or a Config, got torch.nn.*Linear$'):
        IRInferencer(nn.Linear(1, 1), weights, 'cpu')
    with pytest.raises(TypeError, match=r'^checkpoint: expected a path .*, got dict$'):
        IRInferencer(config, {'state_dict': {}}, 'cpu')


def test_folders_are_walked_as_everywhere(inferencer: IRInferencer, tmp_path: Path) -> None:
    """As a text or a path: sub-folders and all kinds of images, but nothing of other programs."""
    (tmp_path / 'in' / 'night').mkdir(parents=True)
    (tmp_path / 'in' / '.thumbnails').mkdir()
    np.save(tmp_path / 'in' / 'night' / 'b.npy', counts(1))
    for name in ('a.png', '.thumbnails/a.png'):
        cv2.imwrite(str(tmp_path / 'in' / name), counts(0))
    for folder in (tmp_path / 'in', str(tmp_path / 'in')):
        inferencer(folder, out_dir=str(tmp_path / 'out'))
    assert sorted(file.name for file in (tmp_path / 'out' / 'vis').iterdir()) == ['a.png', 'b.png']


def test_pictures_of_dictionaries_are_named_by_their_path(inferencer: IRInferencer, tmp_path: Path) -> None:
    inferencer([{'img': counts(0), 'img_path': 'clip/x.png'}, {'img': counts(1)}], out_dir=str(tmp_path))
    names = sorted(file.name for file in (tmp_path / 'vis').iterdir())
    assert names[1:] == ['x.png'] and names[0][:8].isdigit()


def test_units(inferencer: IRInferencer) -> None:
    part = np.array([[7500, 7000]], np.uint16)
    assert inferencer.measured(part)[1] == 'counts'
    values, unit = inferencer.measured(np.array([[[10, 20, 60]]], np.uint8))
    assert (values.tolist(), unit) == ([[30]], 'grey')
    celsius = np.array([[21.5]], np.float32)
    assert inferencer.measured(celsius, 'a.jpg') == (celsius, 'stored')
    mapping = inferencer.pipeline.transforms[0]
    mapping.settings['kelvin_per_count'] = 0.04
    inferencer.pipeline.loader.rjpeg = 'celsius'
    try:
        values, unit = inferencer.measured(part)
        np.testing.assert_allclose(values, [[26.85, 6.85]])  # 0.04 K * 7500 - 273.15 K
        assert unit == 'celsius'
        assert inferencer.measured(celsius, 'a.jpg')[1] == 'celsius'
        assert inferencer.measured(celsius, 'a.npy')[1] == 'stored'
    finally:
        del mapping.settings['kelvin_per_count']
        inferencer.pipeline.loader.rjpeg = 'picture'


def test_a_checkpoint_without_its_classes_takes_those_of_the_config(root: Path) -> None:
    """MMDetection would take COCO's, and call a human a person and a car a bicycle."""
    torch.save(torch.load(root / 'weights.pth')['state_dict'], root / 'bare.pth')
    bare = IRInferencer(root / 'config.py', root / 'bare.pth', 'cpu')
    assert bare.classes == CLASSES
    assert bare.colors[0] == (230, 60, 70)


def test_a_collate_function_in_the_form_that_runners_take(root: Path) -> None:
    options = {'test_dataloader.collate_fn': {'type': 'pseudo_collate'}}
    inferencer = IRInferencer(str(root / 'config.py'), str(root / 'weights.pth'), 'cpu', cfg_options=options)
    assert len(inferencer.predict([inferencer.prepare(counts(0), 'a')] * 2)) == 2


def test_wrong_arguments(root: Path) -> None:
    config, weights = root / 'config.py', root / 'weights.pth'
    with pytest.raises(ValueError, match="device: expected a name such as cpu or cuda:1, got 'gpu'"):
        IRInferencer(config, weights, 'gpu')
    with pytest.raises(ValueError, match='cuda:99'):
        IRInferencer(config, weights, 'cuda:99')
    with pytest.raises(FileNotFoundError, match='checkpoint not found'):
        IRInferencer(config, root / 'none.pth')
    with pytest.raises(ValueError, match=r'config.py: expected a test pipeline that begins with LoadIRImageFromFile'):
        IRInferencer(
            config, weights, 'cpu', cfg_options={'test_dataloader.dataset.pipeline': [{'type': 'PackDetInputs'}]}
        )


class Payload:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return os.system, (f'touch {self.target}',)


def test_code_in_a_checkpoint_does_not_run(root: Path, tmp_path: Path) -> None:
    content = torch.load(root / 'weights.pth')
    torch.save({**content, 'meta': Payload(tmp_path / 'ran')}, tmp_path / 'bad.pth')
    with pytest.raises(CheckpointError, match='bad.pth: refused'):
        IRInferencer(root / 'config.py', tmp_path / 'bad.pth', 'cpu')
    assert not (tmp_path / 'ran').exists()


def test_a_checkpoint_of_another_config_is_refused(root: Path, tmp_path: Path) -> None:
    content = torch.load(root / 'weights.pth')
    del content['state_dict']['roi_head.mask_head.conv_logits.bias']
    torch.save(content, tmp_path / 'other.pth')
    with pytest.raises(ValueError, match='other.pth does not fit .*config.py: 1 .*mask_head.conv_logits.bias'):
        IRInferencer(root / 'config.py', tmp_path / 'other.pth', 'cpu')


def network(semantic: bool) -> nn.Module:
    head = nn.ModuleDict({'conv': nn.Conv2d(1, 2, 1), **({'semantic_head': nn.Linear(3, 1)} if semantic else {})})
    return nn.ModuleDict({'backbone': nn.BatchNorm2d(3), 'mask_head': head})


@pytest.mark.parametrize(('in_model', 'in_file'), [(True, False), (False, True), (True, True)])
def test_the_semantic_head_may_come_and_go(in_model: bool, in_file: bool) -> None:
    model, source = network(in_model), network(in_file)
    nn.init.constant_(source['mask_head']['conv'].weight, 7)
    load_fitting_weights(model, {'state_dict': {f'module.{k}': v for k, v in source.state_dict().items()}}, 'c', 'w')
    assert (model['mask_head']['conv'].weight == 7).all()


def test_all_that_does_not_fit_is_named() -> None:
    weights = deepcopy(network(False).state_dict())
    del weights['backbone.weight']
    weights['mask_head.conv.bias'] = torch.zeros(5)
    weights['neck.plugin.weight'] = torch.zeros(1)
    expected = (
        'w.pth does not fit c.py: 2 parameters are missing or of another shape: backbone.weight, mask_head.conv.bias; '
        '1 parameters of the checkpoint are not in the model: neck.plugin.weight'
    )
    with pytest.raises(ValueError, match=expected):
        load_fitting_weights(network(False), weights, 'c.py', 'w.pth')
    with pytest.raises(ValueError, match=r'w.pth: expected the weights of a model'):
        load_fitting_weights(network(False), {'meta': {}}, 'c.py', 'w.pth')


def test_settings_that_make_masks_probabilities_are_refused(root: Path) -> None:
    options = {'model.test_cfg.rcnn.mask_thr_binary': -1}
    with pytest.raises(ValueError, match=r'model\.test_cfg\.rcnn\.mask_thr_binary: expected a threshold .*got -1'):
        IRInferencer(root / 'config.py', root / 'weights.pth', 'cpu', cfg_options=options)


@pytest.mark.parametrize('use', ['call', 'predict'])
def test_masks_of_probabilities_go_nowhere(inferencer: IRInferencer, root: Path, use: str) -> None:
    path = str(root / 'images' / '0.png')
    settings = inferencer.model.roi_head.test_cfg
    settings.mask_thr_binary = -1  # (set behind the back of the check of the settings)
    try:
        with pytest.raises(ValueError, match=r'config\.py: expected masks of 0 and 1, got uint8 values from 0 to'):
            if use == 'call':
                inferencer(path)
            else:
                inferencer.predict([inferencer.prepare(inferencer.read(path), path)])
    finally:
        settings.mask_thr_binary = 0.5


def test_an_image_too_thin_for_the_pipeline_is_named(inferencer: IRInferencer) -> None:
    """At 96x64 at most, 2 of 2000 pixels become none."""
    with pytest.raises(
        ValueError, match=r'image thin\.png: height and width \(2, 2000\) do not pass the test pipeline'
    ):
        inferencer.prepare(counts(0)[:2].repeat(23, axis=1)[:, :2000], 'thin.png')


def test_steps_that_a_wrapper_adds_are_part_of_the_pipeline(root: Path) -> None:
    """``MultiImageMixDataset`` has a pipeline of its own, behind that of the data set within."""
    cfg = launch.load_config(str(root / 'config.py'))
    one = cfg.test_dataloader.dataset
    steps = [step for step in one.pipeline if step.type != 'LoadAnnotations']
    within = {**one, 'pipeline': steps[:2]}
    cfg.test_dataloader.dataset = {'type': 'MultiImageMixDataset', 'dataset': within, 'pipeline': steps[2:]}
    path = root / 'images' / '1.png'
    prepared = []
    for config in (root / 'config.py', cfg):
        inferencer = IRInferencer(config, root / 'weights.pth', 'cpu', show_progress=False)
        prepared.append(inferencer.prepare(inferencer.read(path), path)['inputs'])
    assert torch.equal(*prepared) and prepared[0].shape[1:] == (64, 94)
