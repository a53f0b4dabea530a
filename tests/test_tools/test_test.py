"""tools/test.py and its launcher, on a toy problem."""

import pickle
import runpy
import socket
from collections.abc import Callable
from pathlib import Path

from mmdet_ir.apis import launch

import cv2
import numpy as np
import pycocotools.mask
import pytest
import torch

pytestmark = pytest.mark.slow
REPO = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def tested(
    toy_config: Path, trained: Path, python_tool: Callable, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[dict], Path]:
    """Predictions of one process, and its work dir with pictures."""
    folder = tmp_path_factory.mktemp('tested')
    out = folder / 'new' / 'predictions.pkl'
    checkpoint = trained / 'epoch_1.pth'
    python_tool('test.py', toy_config, checkpoint, '--work-dir', folder, '--out', out, '--show-dir', 'pictures')
    assert [path.name for path in out.parent.iterdir()] == ['predictions.pkl']
    return pickle.loads(out.read_bytes()), folder


def test_predictions_are_saved_with_masks(tested: tuple[list[dict], Path]) -> None:
    predictions, _ = tested
    assert [sample['img_id'] for sample in predictions] == [0, 1, 2, 3]
    instances = [sample['pred_instances'] for sample in predictions]
    assert sum(len(entry['scores']) for entry in instances) > 0
    for entry in instances:
        assert len(entry['bboxes']) == len(entry['labels']) == len(entry['masks'])
        assert all(pycocotools.mask.decode(mask).shape == (64, 96) for mask in entry['masks'])


def test_pictures_are_drawn(tested: tuple[list[dict], Path]) -> None:
    pictures = sorted(tested[1].glob('*/pictures/*.png'))
    assert [path.name for path in pictures] == [f'val_{i}.png' for i in range(4)]
    assert cv2.imread(str(pictures[0])).std() > 0


def test_two_processes_predict_what_one_does(
    tested: tuple[list[dict], Path], toy_config: Path, trained: Path, run_command: Callable, tmp_path: Path
) -> None:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = str(probe.getsockname()[1])
    out = tmp_path / 'predictions.pkl'
    command = (REPO / 'tools' / 'dist_test.sh', toy_config, trained / 'epoch_1.pth', 2, '--work-dir', tmp_path)
    done = run_command(*command, '--out', out, PORT=port)
    assert 'No GPU: 2 processes on the CPU with the gloo backend' in done.stdout
    predictions = pickle.loads(out.read_bytes())
    assert len(predictions) == 4
    for got, expected in zip(predictions, tested[0], strict=True):
        assert got['img_id'] == expected['img_id']
        for key in ('bboxes', 'scores', 'labels'):
            np.testing.assert_allclose(got['pred_instances'][key], expected['pred_instances'][key], rtol=1e-4)


def _augmented(
    monkeypatch: pytest.MonkeyPatch, config: Path, checkpoint: Path, folder: Path, *options: str
) -> list[dict]:
    """Predictions of ``tools/test.py --tta`` in this process."""
    out = folder / 'predictions.pkl'
    words = [REPO / 'tools' / 'test.py', config, checkpoint, '--tta', '--work-dir', folder, '--out', out]
    words += ['--show-dir', 'pictures', '--cfg-options', f'experiment_name={folder.name}', *options]
    monkeypatch.setattr('sys.argv', [str(word) for word in words])
    runpy.run_path(str(words[0]), run_name='__main__')
    return pickle.loads(out.read_bytes())


def test_augmentation_with_one_view_changes_nothing(
    tested: tuple[list[dict], Path],
    toy_config: Path,
    trained: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for masks in ('roi', 'shape'):
        folder = tmp_path / masks
        options = ('tta_views.flips=[]', 'tta_model.type=IRTTAModel', f'tta_model.masks={masks}')
        predictions = _augmented(monkeypatch, toy_config, trained / 'epoch_1.pth', folder, *options)
        for got, expected in zip(predictions, tested[0], strict=True):
            for key in ('bboxes', 'scores', 'labels'):
                np.testing.assert_allclose(got['pred_instances'][key], expected['pred_instances'][key], rtol=1e-4)
            for mask, other in zip(got['pred_instances']['masks'], expected['pred_instances']['masks'], strict=True):
                assert (pycocotools.mask.decode(mask) != pycocotools.mask.decode(other)).sum() <= 2


def test_augmentation_of_a_mask_model(
    toy_config: Path, trained: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    options = ('tta_views.flips=horizontal,vertical', 'tta_views.scales=1.0,1.5')
    predictions = _augmented(monkeypatch, toy_config, trained / 'epoch_1.pth', tmp_path, *options)
    assert [sample['img_id'] for sample in predictions] == [0, 1, 2, 3]
    instances = [sample['pred_instances'] for sample in predictions]
    assert sum(len(entry['scores']) for entry in instances) > 0
    for entry in instances:
        assert len(entry['bboxes']) == len(entry['labels']) == len(entry['masks']) <= 5
        assert all(pycocotools.mask.decode(mask).shape == (64, 96) for mask in entry['masks'])
        assert entry['bboxes'].min() >= 0
        assert (entry['bboxes'].max(dim=0).values <= torch.tensor([96, 64, 96, 64]) + 1e-3).all()
    pictures = sorted(tmp_path.glob('*/pictures/*.png'))
    assert [path.name for path in pictures] == [f'val_{i}.png' for i in range(4)]


def test_augmentation_of_a_box_model(toy_config: Path, trained: Path, tmp_path: Path) -> None:
    config = tmp_path / 'boxes.py'
    config.write_text(
        f"_base_ = '{toy_config}'\n"
        f"experiment_name = '{tmp_path.name}'\n"
        "model = dict(type='FasterRCNN', roi_head=dict(mask_head=None, mask_roi_extractor=None))\n"
        "val_evaluator = dict(metric='bbox')\ntest_evaluator = val_evaluator\n"
    )
    out = tmp_path / 'predictions.pkl'
    content = torch.load(trained / 'epoch_1.pth')
    weights = content['state_dict']
    content['state_dict'] = {name: value for name, value in weights.items() if 'mask_head' not in name}
    torch.save(content, tmp_path / 'boxes.pth')
    launch.test(str(config), str(tmp_path / 'boxes.pth'), work_dir=str(tmp_path), tta=True, out=str(out))
    assert [sample['img_id'] for sample in pickle.loads(out.read_bytes())] == [0, 1, 2, 3]
