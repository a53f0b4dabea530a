"""A config for own data merges to what the data are, whatever model it inherits from."""

import json
import shutil
from pathlib import Path

import mmdet_ir  # noqa: F401
from mmdet_ir.apis.new_config import new_config
from mmdet_ir.apis.new_config.text import Code, difference, render
from mmdet_ir.compat.config_variables import variables_set
from mmdet_ir.deploy.graph.graph_input import GraphInput

import numpy as np
import pytest
from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

REPO = Path(__file__).parents[3]
LIKE = REPO / 'configs' / 'quickstart' / 'mask_rcnn_bnsa_focalsiou_mbcedicels_real.py'
CONFIGS = sorted(  # (the configs of ablations have the models of ir)
    path.relative_to(REPO / 'configs').as_posix()
    for folder in ('ir', 'baselines', 'quickstart', 'edge')
    for path in (REPO / 'configs' / folder).glob('*.py')
)


def heads_of(value: object) -> list[int]:
    """Every ``num_classes`` in a model."""
    if isinstance(value, dict):
        own = [value['num_classes']] if 'num_classes' in value else []
        return own + [number for child in value.values() for number in heads_of(child)]
    return [number for child in value for number in heads_of(child)] if isinstance(value, list | tuple) else []


@pytest.mark.parametrize(('number', 'like'), list(enumerate(CONFIGS)), ids=CONFIGS)
def test_every_config_serves_as_a_base(data: Path, sets: dict, tmp_path: Path, number: int, like: str) -> None:
    name = list(sets)[number % 3]
    classes, dtype = sets[name]
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


def test_classes_come_in_the_order_of_the_file(data: Path, tmp_path: Path) -> None:
    """As the data set counts its labels, whatever the ids; validation in another order is refused."""
    for folder in ('annotations', 'images'):
        shutil.copytree(data / 'deep' / folder, tmp_path / 'set' / folder)
    train, val = (tmp_path / 'set' / 'annotations' / f'{split}.json' for split in ('train', 'val'))
    content = json.loads(train.read_text())
    content['categories'] = [{'id': 3, 'name': 'ship'}, {'id': 1, 'name': 'fox'}, {'id': 2, 'name': 'hot engine'}]
    train.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"val.json: expected the classes \('ship', 'fox', .*\('fox', 'hot engine', "):
        new_config(tmp_path / 'set', tmp_path / 'mine.py', LIKE)
    val.write_text(json.dumps(content))
    written = new_config(tmp_path / 'set', tmp_path / 'mine.py', LIKE)
    assert written.facts.classes == ('ship', 'fox', 'hot engine')
    cfg = Config.fromfile(written.path)
    init_default_scope('mmdet')
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        dataset = DATASETS.build(loader.dataset)
        names = dict(zip(dataset.cat_ids, dataset.metainfo['classes'], strict=True))
        assert names == {3: 'ship', 1: 'fox', 2: 'hot engine'}


def test_batch_and_epochs(data: Path, tmp_path: Path) -> None:
    like = REPO / 'configs' / 'ir' / 'mask_rcnn.py'  # SGD, 0.001 for a batch of 2; 100 epochs with steps at 70 and 90
    new_config(data / 'grey', tmp_path / 'mine.py', like, batch_size=6, epochs=10)
    cfg = Config.fromfile(tmp_path / 'mine.py')
    assert cfg.train_dataloader.batch_size == 6 and cfg.optim_wrapper.optimizer.lr == pytest.approx(0.003)
    assert cfg.train_cfg.max_epochs == 10 and cfg.param_scheduler[1].milestones == [7, 9]


def test_images_of_different_depths_are_stretched_one_by_one(data: Path, tmp_path: Path) -> None:
    for folder in ('annotations', 'images'):
        shutil.copytree(data / 'grey' / folder, tmp_path / 'mixed' / folder)
    shutil.copy(data / 'deep' / 'images' / '3.png', tmp_path / 'mixed' / 'images' / '3.png')
    written = new_config(tmp_path / 'mixed', tmp_path / 'mine.py', LIKE)
    assert any('8-bit (' in note and '16-bit (' in note and '3.png' in note for note in written.notes)
    cfg = Config.fromfile(tmp_path / 'mine.py')
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        load, tone = loader.dataset.pipeline[:2]
        assert load.raw and tone.type == 'ToneMapping' and tone.method == 'percentile'


def test_training_and_validation_of_different_depths(data: Path, tmp_path: Path) -> None:
    """In the window of the training's counts all images of 8 bits would be black."""
    for folder in ('annotations', 'images'):
        shutil.copytree(data / 'deep' / folder, tmp_path / 'mixed' / folder)
    content = (data / 'deep' / 'annotations' / 'val.json').read_text()
    (tmp_path / 'mixed' / 'annotations' / 'val.json').write_text(content.replace('"file_name": "', '"file_name": "v'))
    for path in (data / 'grey' / 'images').iterdir():
        shutil.copy(path, tmp_path / 'mixed' / 'images' / f'v{path.name}')
    written = new_config(tmp_path / 'mixed', tmp_path / 'mine.py', LIKE)
    assert any('16-bit for training, 8-bit for validation. The tone mapping str' in note for note in written.notes)
    cfg = Config.fromfile(tmp_path / 'mine.py')
    tones = [loader.dataset.pipeline[1].method for loader in (cfg.train_dataloader, cfg.val_dataloader)]
    assert tones == ['percentile', 'percentile']


def test_a_test_part_is_not_passed_over(data: Path, tmp_path: Path) -> None:
    """A data set in three parts, as Roboflow writes it; the options that the note names lead to the third one."""
    for folder in ('annotations', 'images'):
        shutil.copytree(data / 'grey' / folder, tmp_path / 'three' / folder)
    assert 'test.json' not in str(new_config(tmp_path / 'three', tmp_path / 'mine.py', LIKE).notes)
    shutil.copy(data / 'grey' / 'annotations' / 'val.json', tmp_path / 'three' / 'annotations' / 'test.json')
    written = new_config(tmp_path / 'three', tmp_path / 'mine.py', LIKE, overwrite=True)
    (note,) = (note for note in written.notes if 'test.json is not used' in note)
    cfg = Config.fromfile(tmp_path / 'mine.py')
    cfg.merge_from_dict(dict(option.split('=') for option in note.split('--cfg-options ')[1].split()))
    assert cfg.test_dataloader.dataset.ann_file == 'annotations/test.json'
    assert Path(cfg.test_evaluator.ann_file) == tmp_path / 'three' / 'annotations' / 'test.json'
    assert 'test.json' not in str((cfg.val_dataloader, cfg.val_evaluator))


def test_what_cannot_be_done_is_told(data: Path, tmp_path: Path) -> None:
    like = REPO / 'configs' / 'quickstart' / 'mask_rcnn_real.py'
    with pytest.raises(FileNotFoundError, match=r'val2\.json; .* tools/data/split\.py'):
        new_config(data / 'grey', tmp_path / 'a.py', like, splits=('annotations/train.json', 'annotations/val2.json'))
    out = tmp_path / 'mine.py'
    out.write_text('')
    with pytest.raises(FileExistsError, match='--overwrite'):
        new_config(data / 'grey', out, like)
    for like in ('edgy', 'mmdet_ir::ir/mask_rcnnn.py', 'configs/ir/mask_rcnnn.py'):
        with pytest.raises(FileNotFoundError, match=r'config not found: expected .* got .*' + like[-5:]):
            new_config(data / 'grey', tmp_path / 'b.py', like)
    assert out.read_text() == '' and not (tmp_path / 'a.py').exists() and not (tmp_path / 'b.py').exists()


def test_a_model_of_the_package_gives_its_weights(data: Path, tmp_path: Path) -> None:
    """Batches of 4 of 6 images are 2 steps an epoch; `edge` has a warm-up of 30 of 1,400 steps and falls then."""
    written = new_config(data / 'deep', tmp_path / 'mine.py', 'edge', epochs=6)
    cfg = Config.fromfile(tmp_path / 'mine.py')
    assert cfg.load_from == 'edge' and cfg.train_cfg.max_iters == 12 and cfg.train_cfg.val_interval == 12
    assert [(s.begin, s.end) for s in cfg.param_scheduler] == [(0, 1), (1, 12)]
    assert any('edge knows the classes human, car, bicycle, uav;' in note for note in written.notes)
    with variables_set({'max_iters': 20, 'batch_size': 3}):
        changed = Config.fromfile(tmp_path / 'mine.py')
    assert changed.train_cfg.max_iters == changed.param_scheduler[1].end == changed.train_cfg.val_interval == 20
    assert changed.train_dataloader.batch_size == 3
    with pytest.raises(ValueError, match='--load-from: expected a file or the name of a model, got none; .*train.py'):
        new_config(data / 'deep', tmp_path / 'other.py', LIKE, load_from='none')
    written = new_config(data / 'deep', tmp_path / 'other.py', LIKE, load_from='edge')
    assert Config.fromfile(written.path).load_from == 'edge'


def test_a_warm_up_is_a_part_of_a_short_training(data: Path, tmp_path: Path) -> None:
    """Batches of 2 of 6 images are 36 steps in 12 epochs; the base has a warm-up of 100."""
    written = new_config(data / 'grey', tmp_path / 'mine.py', LIKE, batch_size=2, epochs=12)
    cfg = Config.fromfile(written.path)
    assert cfg.param_scheduler[0].end == 4 and cfg.param_scheduler[1].T_max == cfg.train_cfg.max_epochs == 12
    assert any('36 steps, so that the warm-up takes 4 of them' in note for note in written.notes)


def test_text() -> None:
    settings = {'type': 'Resize', 'scale': Code('image_size'), 'odd key': (1,), 'long': ['x' * 60, 'y' * 60]}
    names = {'image_size': (4, 3)}
    assert eval(render(settings), names) == {**settings, 'scale': (4, 3)}
    assert difference({'a': {'b': [1], 'c': 2}}, {'a': {'b': [2]}}) == {'a': {'_delete_': True, 'b': [2]}}


def test_small_values_keep_their_window_and_exports_take_them(tmp_path: Path) -> None:
    """Reflectances below a thousandth: rounded to three decimals, both ends of the window would be one."""
    (tmp_path / 'set' / 'images').mkdir(parents=True)
    (tmp_path / 'set' / 'annotations').mkdir()
    square = {'id': 1, 'image_id': 1, 'category_id': 1, 'bbox': [8, 8, 12, 12], 'area': 144, 'iscrowd': 0}
    content = {
        'images': [{'id': 1, 'file_name': 'a.npy', 'width': 64, 'height': 64}],
        'categories': [{'id': 1, 'name': 'leak'}],
        'annotations': [{**square, 'segmentation': [[8, 8, 20, 8, 20, 20, 8, 20]]}],
    }
    for part in ('train', 'val'):
        (tmp_path / 'set' / 'annotations' / f'{part}.json').write_text(json.dumps(content))
    pixels = np.linspace(7e-5, 4.5e-4, 64 * 64, dtype=np.float32).reshape(64, 64)
    np.save(tmp_path / 'set' / 'images' / 'a.npy', pixels)
    written = new_config(tmp_path / 'set', tmp_path / 'mine.py', LIKE)
    cfg = Config.fromfile(written.path)
    load, tone = cfg.test_dataloader.dataset.pipeline[:2]
    assert (tone.low, tone.high) == pytest.approx(written.facts.window, rel=1e-5) and load.to_float32
    init_default_scope('mmdet')
    assert GraphInput(cfg, MODELS.build(cfg.model.data_preprocessor)).dtype == 'float32'
