"""tools/test.py and its launcher, on a toy problem."""

import pickle
import socket
from collections.abc import Callable
from pathlib import Path

from mmdet_ir.apis import launch

import cv2
import numpy as np
import pycocotools.mask
import pytest

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


def test_augmentation_of_a_mask_model_is_refused(toy_config: Path, trained: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='--tta: MMDetection merges boxes only; expected a model without masks'):
        launch.test(
            str(toy_config),
            str(trained / 'epoch_1.pth'),
            work_dir=str(tmp_path),
            tta=True,
            cfg_options={'experiment_name': tmp_path.name},
        )


def test_augmentation_of_a_box_model(toy_config: Path, trained: Path, tmp_path: Path) -> None:
    config = tmp_path / 'boxes.py'
    config.write_text(
        f"_base_ = '{toy_config}'\n"
        f"experiment_name = '{tmp_path.name}'\n"
        "model = dict(type='FasterRCNN', roi_head=dict(mask_head=None, mask_roi_extractor=None))\n"
        "val_evaluator = dict(metric='bbox')\ntest_evaluator = val_evaluator\n"
    )
    out = tmp_path / 'predictions.pkl'
    launch.test(str(config), str(trained / 'epoch_1.pth'), work_dir=str(tmp_path), tta=True, out=str(out))
    assert [sample['img_id'] for sample in pickle.loads(out.read_bytes())] == [0, 1, 2, 3]
