"""A config for own data merges to what the data are, whatever model it inherits from."""

import json
from pathlib import Path

import mmdet_ir  # noqa: F401
from mmdet_ir.apis.new_config import new_config
from mmdet_ir.apis.new_config.text import Code, difference, render

import cv2
import numpy as np
import pytest
from mmengine.config import Config

REPO = Path(__file__).parents[3]
WIDTH, HEIGHT = 160, 128
SETS = {
    'deep': (('fox', 'hot engine', 'ship'), np.uint16),
    'grey': (tuple(f'kind {i}' for i in range(12)), np.uint8),
    'degrees': (('leak',), np.float32),
}
CONFIGS = sorted(  # (the configs of ablations have the models of ir)
    path.relative_to(REPO / 'configs').as_posix()
    for folder in ('ir', 'baselines', 'quickstart', 'edge')
    for path in (REPO / 'configs' / folder).glob('*.py')
)


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sets of six images of 160x128 pixels, with targets of 12x24 pixels; values begin at 1000."""
    root = tmp_path_factory.mktemp('own')
    for name, (classes, dtype) in SETS.items():
        rng, images, annotations = np.random.default_rng(0), [], []
        (root / name / 'images').mkdir(parents=True)
        (root / name / 'annotations').mkdir()
        for number in range(6):
            pixels = rng.uniform(0, 100, (HEIGHT, WIDTH)) + (0 if dtype == np.uint8 else 1000)
            suffix = '.png' if dtype != np.float32 else '.tiff'
            cv2.imwrite(str(root / name / 'images' / f'{number}{suffix}'), pixels.astype(dtype))
            images.append({'id': number, 'file_name': f'{number}{suffix}', 'width': WIDTH, 'height': HEIGHT})
            for target in range(4):
                x, y = 10 + 36 * target, 20
                annotations.append(
                    {
                        'id': len(annotations) + 1,
                        'image_id': number,
                        'category_id': len(annotations) % len(classes) + 1,
                        'bbox': [x, y, 12, 24],
                        'area': 288,
                        'iscrowd': 0,
                        'segmentation': [[x, y, x + 12, y, x + 12, y + 24, x, y + 24]],
                    }
                )
        categories = [{'id': i, 'name': n} for i, n in enumerate(classes, start=1)]
        content = json.dumps({'images': images, 'annotations': annotations, 'categories': categories})
        for split in ('train', 'val'):
            (root / name / 'annotations' / f'{split}.json').write_text(content)
    return root


def heads_of(value: object) -> list[int]:
    """Every ``num_classes`` in a model."""
    if isinstance(value, dict):
        own = [value['num_classes']] if 'num_classes' in value else []
        return own + [number for child in value.values() for number in heads_of(child)]
    return [number for child in value for number in heads_of(child)] if isinstance(value, list | tuple) else []


@pytest.mark.parametrize(('number', 'like'), list(enumerate(CONFIGS)), ids=CONFIGS)
def test_every_config_serves_as_a_base(data: Path, tmp_path: Path, number: int, like: str) -> None:
    name = list(SETS)[number % 3]
    classes, dtype = SETS[name]
    written = new_config(data / name, tmp_path / 'mine.py', REPO / 'configs' / like)
    assert 'Traceback' not in (tmp_path / 'mine.py').read_text() and written.facts.classes == classes
    cfg, base = Config.fromfile(tmp_path / 'mine.py'), Config.fromfile(REPO / 'configs' / like)
    assert set(heads_of(cfg.model)) == {len(classes)} and len(heads_of(cfg.model)) == len(heads_of(base.model))
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        dataset = cfg[loader].dataset
        while 'dataset' in dataset:
            dataset = dataset.dataset
        assert Path(dataset.data_root) == data / name
        assert tuple(dataset.metainfo.classes) == classes and len(set(map(tuple, dataset.metainfo.palette))) == len(
            classes
        )
        kinds = [step.type for step in dataset.pipeline]
        assert kinds.count('LoadIRImageFromFile') == 1 and kinds.count('ToneMapping') == (dtype != np.uint8)
        if dtype != np.uint8:  # uniform in 1000..1100: the percentiles are known
            (tone,) = (step for step in dataset.pipeline if step.type == 'ToneMapping')
            assert tone.low == pytest.approx(1000.5, abs=1) and tone.high == pytest.approx(1099.7, abs=1)
    assert cfg.test_evaluator.ann_file == f'{data / name}/annotations/val.json'


def test_anchors_meet_small_targets(data: Path, tmp_path: Path) -> None:
    """Targets of 12x24 have a side of 17.0; the R50 models' smallest anchor has 32, the small models' 12."""
    for like, expected in (('ir/mask_rcnn.py', 17), ('quickstart/mask_rcnn_real.py', 12)):
        new_config(data / 'grey', tmp_path / 'mine.py', REPO / 'configs' / like, overwrite=True)
        generator = Config.fromfile(tmp_path / 'mine.py').model.rpn_head.anchor_generator
        assert min(generator.scales) * min(generator.strides) == pytest.approx(expected, abs=0.5)


def test_batch_and_epochs(data: Path, tmp_path: Path) -> None:
    like = REPO / 'configs' / 'ir' / 'mask_rcnn.py'  # SGD, 0.001 for a batch of 2; 100 epochs with steps at 70 and 90
    new_config(data / 'grey', tmp_path / 'mine.py', like, batch_size=6, epochs=10)
    cfg = Config.fromfile(tmp_path / 'mine.py')
    assert cfg.train_dataloader.batch_size == 6 and cfg.optim_wrapper.optimizer.lr == pytest.approx(0.003)
    assert cfg.train_cfg.max_epochs == 10 and cfg.param_scheduler[1].milestones == [7, 9]


def test_what_cannot_be_done_is_told(data: Path, tmp_path: Path) -> None:
    like = REPO / 'configs' / 'quickstart' / 'mask_rcnn_real.py'
    with pytest.raises(FileNotFoundError, match=r'val2\.json; .* tools/data/split\.py'):
        new_config(data / 'grey', tmp_path / 'a.py', like, splits=('annotations/train.json', 'annotations/val2.json'))
    out = tmp_path / 'mine.py'
    out.write_text('')
    with pytest.raises(FileExistsError, match='--overwrite'):
        new_config(data / 'grey', out, like)
    with pytest.raises(ValueError, match='expected a base that counts epochs, got one of 400 steps'):
        new_config(data / 'grey', tmp_path / 'b.py', REPO / 'configs' / 'edge' / 'mask_rcnn_edge_real.py', epochs=3)
    assert out.read_text() == '' and not (tmp_path / 'a.py').exists() and not (tmp_path / 'b.py').exists()


def test_text() -> None:
    settings = {'type': 'Resize', 'scale': Code('image_size'), 'odd key': (1,), 'long': ['x' * 60, 'y' * 60]}
    names = {'image_size': (4, 3)}
    assert eval(render(settings), names) == {**settings, 'scale': (4, 3)}
    assert difference({'a': {'b': [1], 'c': 2}}, {'a': {'b': [2]}}) == {'a': {'_delete_': True, 'b': [2]}}
