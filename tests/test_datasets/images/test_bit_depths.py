"""One scene in several kinds of files gives one training step, one prediction and one picture."""

import copy
import functools
import json
import re
from pathlib import Path
from types import SimpleNamespace

from mmdet_ir.datasets.coco_files import class_categories
from mmdet_ir.datasets.images.tone_statistics import measure_window
from mmdet_ir.datasets.synthetic import generate_scene
from mmdet_ir.datasets.synthetic.writer import encode_instances
from mmdet_ir.engine import IRVisualizationHook
from mmdet_ir.visualization import as_picture

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS, MODELS, TRANSFORMS
from mmdet.visualization import DetLocalVisualizer
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from PIL import Image

ROOT = Path(__file__).parents[3] / 'configs'
CONFIG = ROOT / 'quickstart' / 'mask_rcnn_bnsa_focalsiou_mbcedicels_synthetic16.py'
SIZE = (128, 96)  # width, height
KINDS = {
    'camera.png': 'plain',
    'counts.png': 'raw',
    'counts.tiff': 'raw',
    'shifted.tiff': 'raw',
    'stack.tiff': 'raw',
    'counts.npy': 'raw',
}


@pytest.fixture(scope='module')
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene with targets, as the camera's 8-bit picture and as counts in every kind of file."""
    root = tmp_path_factory.mktemp('depths')
    (root / 'images').mkdir()
    scene = generate_scene(8, size=SIZE)
    assert len(scene.labels) >= 2 and scene.counts.max() < 2**14
    cv2.imwrite(str(root / 'images' / 'camera.png'), scene.image8)
    cv2.imwrite(str(root / 'images' / 'counts.png'), scene.counts)
    Image.fromarray(scene.counts).save(root / 'images' / 'counts.tiff')
    Image.fromarray(scene.counts << 2).save(root / 'images' / 'shifted.tiff')  # 14 bits in the upper part of 16
    pages = [Image.fromarray(scene.counts[::-1].copy()), Image.fromarray(scene.counts)]
    pages[0].save(root / 'images' / 'stack.tiff', save_all=True, append_images=pages[1:])
    np.save(root / 'images' / 'counts.npy', scene.counts)
    annotations = [{'id': i + 1, 'image_id': 1, **a} for i, a in enumerate(encode_instances(scene))]
    for name in KINDS:
        image = {'id': 1, 'file_name': name, 'width': SIZE[0], 'height': SIZE[1]}
        image |= {'page': 1} if name == 'stack.tiff' else {}
        coco = {'images': [image], 'annotations': annotations, 'categories': class_categories()}
        (root / f'{name}.json').write_text(json.dumps(coco))
    return root


@functools.cache
def read_config() -> Config:
    return Config.fromfile(CONFIG)


def batch(root: Path, name: str, pipeline: str = 'test_pipeline') -> dict:
    """The one sample of a set, through the config's pipeline at this size."""
    transforms = copy.deepcopy(read_config()[pipeline])
    if KINDS[name] == 'plain':
        transforms = [{'type': 'LoadIRImageFromFile'}, *transforms[2:]]
    for transform in transforms:
        if transform['type'] == 'Resize':
            transform['scale'] = SIZE
        if transform['type'] == 'RandomFlip':
            transform['prob'] = 1.0
    dataset = DATASETS.build(
        {
            'type': 'IRDataset',
            'data_root': str(root),
            'ann_file': f'{name}.json',
            'data_prefix': {'img': 'images/'},
            'pipeline': transforms,
            'test_mode': pipeline == 'test_pipeline',
        }
    )
    return pseudo_collate([dataset[0]])


@pytest.fixture(scope='module', autouse=True)
def mmdet_scope():
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


@pytest.fixture(scope='module')
def model() -> torch.nn.Module:
    config = copy.deepcopy(read_config().model)
    config.backbone.base_channels = config.backbone.stem_channels = 8
    config.neck.in_channels = [8, 16, 32, 64]
    config.test_cfg.rcnn.update(score_thr=0.0, max_per_img=5)
    config.test_cfg.rpn.max_per_img = config.train_cfg.rpn_proposal.max_per_img = 50
    torch.manual_seed(0)
    return MODELS.build(config)


def inputs_and_picture(root: Path, name: str) -> tuple[dict, dict, dict]:
    """Batches of training and testing, and what must agree of them."""
    train, test = batch(root, name, 'train_pipeline'), batch(root, name)
    found = {'train input': train['inputs'][0].numpy(), 'test input': test['inputs'][0].numpy()}
    found['picture'] = as_picture(test['inputs'][0], test['data_samples'][0].metainfo)
    return train, test, found


def losses_and_prediction(model: torch.nn.Module, train: dict, test: dict) -> dict[str, np.ndarray]:
    torch.manual_seed(0)  # for the samplers of proposals
    with torch.no_grad():
        model.train()
        losses = model.parse_losses(model(**model.data_preprocessor(train, training=True), mode='loss'))[1]
        model.eval()
        prediction = model.test_step(test)[0].pred_instances
    found = {f'loss {key}': value.numpy() for key, value in losses.items()}
    return found | {f'predicted {key}': np.asarray(prediction[key]) for key in ('bboxes', 'scores', 'labels', 'masks')}


def test_all_kinds_of_files_agree(model: torch.nn.Module, data_root: Path) -> None:
    for norm in model.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.momentum = 0.0  # a training step must not change the next one's starting point
    train, test, expected = inputs_and_picture(data_root, 'camera.png')
    answers = losses_and_prediction(model, train, test)
    assert len(answers['predicted scores']) > 0 and answers['loss loss_mask'] > 0
    assert expected['test input'].dtype == np.uint8 and expected['test input'].shape == (3, *SIZE[::-1])
    for name in KINDS:
        train, test, got = inputs_and_picture(data_root, name)
        wanted = expected
        if name in ('counts.npy', 'stack.tiff'):  # equal inputs give equal answers; two kinds show it
            got, wanted = got | losses_and_prediction(model, train, test), wanted | answers
        for key, value in wanted.items():
            np.testing.assert_array_equal(got[key], value, err_msg=f'{name}: {key}')


def test_the_picture_is_the_cameras(data_root: Path) -> None:
    image8 = cv2.imread(str(data_root / 'images' / 'camera.png'), cv2.IMREAD_UNCHANGED)
    data = batch(data_root, 'counts.npy')
    inputs, meta = data['inputs'][0], data['data_samples'][0].metainfo
    expected = np.stack([image8] * 3, axis=-1)
    np.testing.assert_array_equal(as_picture(inputs, meta), expected)
    np.testing.assert_array_equal(as_picture(inputs[:1], meta), expected)  # one channel
    padded = torch.nn.functional.pad(inputs, (0, 32, 0, 16))
    np.testing.assert_array_equal(as_picture(padded, meta), expected)
    flipped = meta | {'flip': True, 'flip_direction': 'horizontal'}
    np.testing.assert_array_equal(as_picture(inputs.flip(-1), flipped), expected)
    coloured = torch.zeros_like(inputs)
    coloured[0] = 200  # blue, in BGR
    assert as_picture(coloured, meta)[5, 5].tolist() == [0, 0, 200]


def test_the_picture_has_the_original_size() -> None:
    ramp = torch.arange(0, 240, 2, dtype=torch.uint8).view(1, 1, 120).expand(3, 80, 120)
    meta = {'ori_shape': (40, 60), 'scale_factor': (2.0, 2.0)}
    picture = as_picture(ramp, meta)
    assert picture.shape == (40, 60, 3)
    assert picture[7, :, 0].tolist() == [4 * i + 1 for i in range(60)]  # means of 4 i and 4 i + 2


class Recorder:
    """Takes the place of the visualizer."""

    dataset_meta = None

    def __init__(self) -> None:
        self.calls: list[tuple] = []

    def add_datasample(self, name: str, image: np.ndarray, out_file: str | None = None, **_: object) -> None:
        self.calls.append((name, image, out_file))


def test_the_hook_draws_what_the_model_saw(data_root: Path, tmp_path: Path) -> None:
    DetLocalVisualizer.get_instance('drawing')
    image8 = cv2.imread(str(data_root / 'images' / 'camera.png'))
    runner = SimpleNamespace(work_dir=str(tmp_path), timestamp='now', iter=0)
    hook = IRVisualizationHook(draw=True, test_out_dir='pictures')
    hook._visualizer = recorder = Recorder()
    for name in ('counts.tiff', 'stack.tiff', 'counts.npy'):
        data = batch(data_root, name)
        hook.after_test_iter(runner, 0, data, data['data_samples'])
    # test-time augmentation: the version that is not flipped, which comes second here
    flipped = batch(data_root, 'counts.png')
    flipped['inputs'][0] = flipped['inputs'][0].flip(-1)
    flipped['data_samples'][0].set_metainfo({'flip': True, 'flip_direction': 'horizontal'})
    plain = batch(data_root, 'counts.png')
    both = {key: [flipped[key], plain[key]] for key in plain}
    hook.after_test_iter(runner, 0, both, plain['data_samples'])
    hook.after_val_iter(runner, 0, plain, plain['data_samples'])
    hook.after_val_iter(runner, 1, plain, plain['data_samples'])  # not a multiple of the interval
    folder = tmp_path / 'now' / 'pictures'
    files = ['counts.png', 'stack_00001.png', 'counts_2.png', 'counts_3.png']
    assert [call[2] for call in recorder.calls] == [str(folder / name) for name in files] + [None]
    assert [call[0] for call in recorder.calls] == ['test_img'] * 4 + ['val_img']
    for _, image, _ in recorder.calls:
        np.testing.assert_array_equal(image, image8)


def test_paths_may_be_relative_and_absolute(tmp_path: Path) -> None:
    """Two data sets, one with an absolute ``data_root``."""
    infos = [{'img_path': f'{tmp_path}/in/a.png'}, {'img_path': 'data/other/a.png'}]
    hook = IRVisualizationHook(draw=True, test_out_dir='pictures')
    hook.before_test(SimpleNamespace(test_dataloader=SimpleNamespace(dataset=ListOf(infos))))
    names = [hook._name(info['img_path'], None) for info in infos]
    assert len(set(names)) == 2 and names[1].endswith('data/other/a.png')


def test_pictures_of_equal_names_do_not_replace_each_other(data_root: Path, tmp_path: Path) -> None:
    DetLocalVisualizer.get_instance('drawing')
    paths = ['clip0/a.png', 'clip1/a.png', 'clip1/A.png', 'clip1/a.tif', 'clip1/s.tif', 'clip1/s_00000.png']
    pages = [None, None, None, None, 0, None]
    infos = [{'img_path': f'{tmp_path}/in/{path}', 'page': page} for path, page in zip(paths, pages, strict=True)]
    infos = [info if info['page'] is not None else {'img_path': info['img_path']} for info in infos]
    loader = SimpleNamespace(dataset=ListOf(infos))
    runner = SimpleNamespace(work_dir=str(tmp_path), timestamp='now', iter=0, test_dataloader=loader)
    data, written = batch(data_root, 'counts.png'), []
    for order in (infos, infos[::-1]):  # (as another process might meet them)
        hook = IRVisualizationHook(draw=True, test_out_dir='pictures')
        hook._visualizer = recorder = Recorder()
        hook.before_test(runner)
        for info in order:
            data['data_samples'][0].set_metainfo(info)
            if 'page' not in info and 'page' in data['data_samples'][0]:
                del data['data_samples'][0].page
            hook.after_test_iter(runner, 0, data, data['data_samples'])
        written.append([call[2] for call in recorder.calls])
    names = [
        'clip0/a.png',
        'clip1/a.png',
        'clip1/A_2.png',
        'clip1/a_3.png',
        'clip1/s_00000.png',
        'clip1/s_00000_2.png',
    ]
    assert written[0] == written[1][::-1] == [f'{tmp_path}/now/pictures/{name}' for name in names]


class ListOf(list):
    """A data set of nothing but infos."""

    def get_data_info(self, index: int) -> dict:
        return self[index]


def test_window_of_a_data_set(data_root: Path) -> None:
    """Over one image, every pixel often drawn, the window is near the image's own percentiles."""
    counts = np.load(data_root / 'images' / 'counts.npy')
    config = copy.deepcopy(read_config().train_dataloader.dataset)
    config.update(data_root=str(data_root), ann_file='counts.npy.json', image_key='file_name')
    wrapped = type(config)(type='RepeatDataset', times=2, dataset=config)
    for dataset in (config, wrapped):
        low, high = measure_window(dataset, 10, 90, pixels=200_000)
        np.testing.assert_allclose((low, high), np.percentile(counts, (10, 90)), atol=1)
    with pytest.raises(ValueError, match='expected percentiles'):
        measure_window(config, 90, 10)
    config.pipeline = config.pipeline[1:]
    with pytest.raises(ValueError, match='expected LoadIRImageFromFile first, got ToneMapping'):
        measure_window(config)


@pytest.mark.parametrize('to_float32', [False, True])
def test_a_window_is_of_one_depth(tmp_path: Path, to_float32: bool) -> None:
    images = []
    for i, kind in enumerate((np.uint16, np.uint16, np.uint8)):
        pixels = (np.arange(600).reshape(20, 30) % 200 * (1 if kind == np.uint8 else 37)).astype(kind)
        cv2.imwrite(str(tmp_path / f'{i}.png'), pixels)
        images.append({'id': i, 'file_name': f'{i}.png', 'width': 30, 'height': 20})
    categories = [{'id': 1, 'name': 'human'}]
    config = copy.deepcopy(read_config().train_dataloader.dataset)
    config.update(data_root=str(tmp_path), ann_file='a.json', image_key='file_name', metainfo={'classes': ('human',)})
    config.update(data_prefix={'img': ''})
    config.pipeline[0].to_float32 = to_float32
    for number, told in ((2, None), (3, r'got 16 bits \(.*0.png\) and 8 bits \(.*2.png\); .*convert.py --depth')):
        coco = {'images': images[:number], 'annotations': [], 'categories': categories}
        (tmp_path / 'a.json').write_text(json.dumps(coco))
        if told is None:
            assert measure_window(config, 0, 100) == (0, 199 * 37)
        else:
            with pytest.raises(ValueError, match=told):
                measure_window(config, 0, 100)


def test_the_snippets_of_the_docs(tmp_path: Path) -> None:
    """The example config is read, and every tone mapping in docs/guide/infrared_input.md is built."""
    text = (ROOT.parent / 'docs' / 'guide' / 'infrared_input.md').read_text(encoding='utf-8')
    snippets = re.findall(r'```python\n(.*?)```', text, flags=re.DOTALL)
    example = next(snippet for snippet in snippets if '_base_' in snippet)
    (tmp_path / 'example.py').write_text(example.replace("'./", f"'{CONFIG.parent}/"))
    config = Config.fromfile(tmp_path / 'example.py')
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        assert [t.type for t in loader.dataset.pipeline[:3]].count('ToneMapping') == 1
        mapping = TRANSFORMS.build(loader.dataset.pipeline[1])
        assert (mapping.method, mapping.settings) == ('clahe', {'clip_limit': 3.0})
        assert loader.dataset.image_key == 'counts_file'
    lines = [line for snippet in snippets for line in snippet.splitlines() if line.startswith('tone_mapping = ')]
    assert len(lines) == 5
    for line in lines:
        TRANSFORMS.build(Config.fromstring(line, '.py').tone_mapping)
