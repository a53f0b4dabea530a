import hashlib
import json
import shutil
from pathlib import Path

import mmdet_ir
from mmdet_ir import model_zoo
from mmdet_ir.apis.inference.inferencer import IRInferencer
from mmdet_ir.apis.launch import load_config, require_checkpoint
from mmdet_ir.cli import add_cfg_options, add_model, tool_parser
from mmdet_ir.deploy.publish import publish_model

import numpy as np
import pytest
import torch
import yaml
from mmdet.registry import MODELS
from mmengine.registry import init_default_scope

REPO = Path(mmdet_ir.__file__).parents[1]
CONFIG = REPO / 'configs' / 'edge' / 'mask_rcnn_lite0_real.py'
MARKS = '<!-- scores:begin -->\n<!-- scores:end -->\n<!-- files:begin -->old<!-- files:end -->\n'
CARD = f'# toy\n\nText by hand.\n{MARKS}End.\n'


CLASSES = ('human', 'car', 'bicycle', 'uav')


def metrics(value: float, classes: tuple[str, ...] = CLASSES) -> dict:
    columns = {'targets': 7, 'mAP': value, 'mAP50': value + 0.1, 'mAPs': value, 'mAPm': None}
    return {'images': 3, 'metrics': {kind: dict.fromkeys(('all', *classes), columns) for kind in ('bbox', 'segm')}}


@pytest.fixture(scope='module')
def zoo(tmp_path_factory) -> Path:
    """A folder of models with one, ``toy``, of random weights."""
    root = tmp_path_factory.mktemp('zoo')
    init_default_scope('mmdet')
    torch.manual_seed(0)
    config = load_config(str(CONFIG), {'model.backbone.imagenet': False})
    model = MODELS.build(config.model)
    meta = {'dataset_meta': {'classes': CLASSES}, 'iter': 12, 'message_hub': {'a': 1}}
    checkpoint = {'meta': meta, 'state_dict': model.state_dict(), 'optimizer': {'state': torch.zeros(9)}}
    torch.save(checkpoint, root / 'trained.pth')
    (root / 'scores.json').write_text(json.dumps(metrics(0.25)))
    (root / 'toy').mkdir()
    (root / 'toy' / 'README.md').write_text(CARD)
    options = {'model.backbone.imagenet': False}
    publish_model('toy', CONFIG, root / 'trained.pth', {'dev': root / 'scores.json'}, options=options, root=root)
    return root


@pytest.fixture
def named(zoo, monkeypatch) -> Path:
    monkeypatch.setattr(model_zoo, 'ROOT', zoo)
    return zoo / 'toy'


def test_a_published_model_is_whole(zoo):
    folder = zoo / 'toy'
    content = torch.load(folder / 'weights.pth', weights_only=True)
    trained = torch.load(zoo / 'trained.pth', weights_only=True)['state_dict']
    assert set(content) == {'meta', 'state_dict'} and content['state_dict'].keys() == trained.keys()
    for name, value in trained.items():
        kept = content['state_dict'][name]
        assert kept.dtype == (torch.float16 if value.ndim > 1 else value.dtype), name
        torch.testing.assert_close(kept.to(value.dtype), value, rtol=1e-3, atol=1e-6)
    text = content['meta'].pop('cfg')
    assert content['meta'] == {'dataset_meta': {'classes': ['human', 'car', 'bicycle', 'uav']}, 'iter': 12}
    assert text == (folder / 'config.py').read_text()
    assert (folder / 'weights.pth').stat().st_size < 8e6
    entry = yaml.safe_load((folder / 'metafile.yml').read_text())['Models'][0]
    assert entry['SHA-256'] == {'weights.pth': hashlib.sha256((folder / 'weights.pth').read_bytes()).hexdigest()}
    assert entry['Metadata'] == {'Training Data': 'data/real/annotations/train.json', 'Iterations': 12}
    assert entry['Results'][0]['Metrics'] == {'mask AP': 25.0, 'mask AP50': 35.0, 'box AP': 25.0}
    card = (folder / 'README.md').read_text()
    assert card.startswith('# toy\n\nText by hand.\n') and card.endswith('\nEnd.\n') and 'old' not in card
    assert '| car | 7 | 25.0 | 35.0 | 25.0 | - |' in card and entry['SHA-256']['weights.pth'] in card


def test_publishing_asks_for_a_card(zoo, tmp_path):
    scores = {'dev': zoo / 'scores.json'}
    with pytest.raises(FileNotFoundError, match='expected the card'):
        publish_model('none', CONFIG, zoo / 'trained.pth', scores, root=tmp_path)
    (tmp_path / 'none').mkdir()
    (tmp_path / 'none' / 'README.md').write_text('no marks')
    with pytest.raises(ValueError, match='expected the marks <!-- scores:begin -->'):
        publish_model('none', CONFIG, zoo / 'trained.pth', scores, root=tmp_path)


def test_a_model_that_is_refused_leaves_the_former_one_as_it_is(zoo, tmp_path):
    folder = tmp_path / 'toy'
    shutil.copytree(zoo / 'toy', folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (tmp_path / 'large.onnx').write_bytes(bytes(5 * 2**20 + 1))
    scores, options = {'dev': zoo / 'scores.json'}, {'model.backbone.imagenet': False, 'max_iters': 7}
    with pytest.raises(ValueError, match=r'int8\.onnx: expected at most 5242880 bytes in the package, got 5242881'):
        publish_model(
            'toy',
            CONFIG,
            zoo / 'trained.pth',
            scores,
            exported=tmp_path / 'large.onnx',
            options=options,
            root=tmp_path,
        )
    (folder / 'README.md').write_text('<!-- scores:begin -->\n<!-- scores:end -->\n')
    with pytest.raises(ValueError, match='expected the marks <!-- files:begin -->'):
        publish_model('toy', CONFIG, zoo / 'trained.pth', scores, options=options, root=tmp_path)
    (folder / 'README.md').write_bytes(before['README.md'])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_publishing_asks_for_scores_of_masks(zoo, tmp_path):
    (tmp_path / 'toy').mkdir()
    (tmp_path / 'toy' / 'README.md').write_text(CARD)
    (tmp_path / 'boxes.json').write_text(json.dumps({'metrics': {'bbox': {}}}))
    with pytest.raises(ValueError, match=r'boxes\.json: expected scores of boxes and masks'):
        publish_model('toy', CONFIG, zoo / 'trained.pth', {'dev': tmp_path / 'boxes.json'}, root=tmp_path)
    (tmp_path / 'others.json').write_text(json.dumps(metrics(0.5, CLASSES[::-1])))
    with pytest.raises(ValueError, match=r"others\.json: bbox: expected .* \['human', .* got \['uav'"):
        publish_model('toy', CONFIG, zoo / 'trained.pth', {'dev': tmp_path / 'others.json'}, root=tmp_path)
    content = torch.load(zoo / 'trained.pth', weights_only=True)
    name = 'roi_head.bbox_head.fc_cls.weight'
    content['state_dict'][name][0, 0] = 1e5  # above the largest number of half precision, 65504
    torch.save(content, tmp_path / 'large.pth')
    with pytest.raises(ValueError, match=rf'large\.pth \(in half precision\): expected finite weights, .*{name}'):
        publish_model('toy', CONFIG, tmp_path / 'large.pth', {'dev': zoo / 'scores.json'}, root=tmp_path)
    assert not (tmp_path / 'toy' / 'weights.pth').exists()


def test_a_name_stands_for_config_and_weights(named):
    assert model_zoo.model_names() == ['toy']
    assert load_config('toy').work_dir == 'work_dirs/toy'
    assert require_checkpoint('toy') == str(named / 'weights.pth')
    inferencer = IRInferencer('toy', device='cpu', show_progress=False)
    kernel = torch.load(named / 'weights.pth', weights_only=True)['state_dict']['backbone.layers.0.conv.weight']
    assert torch.equal(inferencer.model.backbone.layers[0].conv.weight.cpu(), kernel.float())
    assert inferencer.classes == ('human', 'car', 'bicycle', 'uav')
    image = np.random.default_rng(0).integers(0, 256, (64, 96), np.uint8)
    found = inferencer.predict([inferencer.prepare(image, 'noise')])[0]
    assert found.masks.shape[1:] == (64, 96)


def test_files_come_before_names(named, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'toy').write_bytes(b'a file of the user')
    assert require_checkpoint('toy') == 'toy'
    assert model_zoo.config_file('toy') == 'toy'


def test_other_names_are_no_models(named):
    with pytest.raises(FileNotFoundError, match="config not found: expected a file, got 'toyy'"):
        load_config('toyy')
    with pytest.raises(ValueError, match=r"expected weights, or one of the models \['toy'\]"):
        IRInferencer(str(CONFIG))


def test_damage_is_told_by_the_checksum(zoo, tmp_path, monkeypatch):
    folder = tmp_path / 'toy'
    folder.mkdir()
    for name in ('config.py', 'metafile.yml'):
        (folder / name).write_bytes((zoo / 'toy' / name).read_bytes())
    weights = bytearray((zoo / 'toy' / 'weights.pth').read_bytes())
    weights[len(weights) // 2] ^= 1
    (folder / 'weights.pth').write_bytes(weights)
    monkeypatch.setattr(model_zoo, 'ROOT', tmp_path)
    with pytest.raises(ValueError, match=r'weights\.pth: the file is damaged or was replaced: expected the SHA-256'):
        require_checkpoint('toy')
    (folder / 'weights.pth').unlink()
    with pytest.raises(FileNotFoundError, match="model 'toy': its file .* is missing"):
        require_checkpoint('toy')


@pytest.mark.parametrize(
    ('line', 'expected'),
    [
        ('toy a.png b.png', ('toy', 'toy', ['a.png', 'b.png'])),
        ('toy toy a.png', ('toy', 'toy', ['a.png'])),
        ('--out toy toy a.png', ('toy', 'toy', ['a.png'])),
        ('--out=toy toy --out x a.png', ('toy', 'toy', ['a.png'])),
        ('--cfg-options a=1 b=2 --out x toy a.png', ('toy', 'toy', ['a.png'])),
        ('--quiet toy a.png', ('toy', 'toy', ['a.png'])),
        ('config.py toy.pth toy', ('config.py', 'toy.pth', ['toy'])),
        ('config.py toy a.png', ('config.py', 'toy', ['a.png'])),
    ],
)
def test_command_lines_take_a_name(named, monkeypatch, line, expected):
    monkeypatch.setattr('mmdet_ir.cli.parser.model_names', model_zoo.model_names)
    parser = tool_parser('')
    add_model(parser)
    parser.add_argument('inputs', nargs='+')
    parser.add_argument('--out')
    parser.add_argument('--quiet', action='store_true')
    add_cfg_options(parser)
    args = parser.parse_args(line.split())
    assert (args.config, args.checkpoint, args.inputs) == expected
