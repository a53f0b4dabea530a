"""MMDetection's own inference on our configs works, or says what to take."""

from pathlib import Path

import mmdet_ir  # noqa: F401

import cv2
import numpy as np
import pytest
from mmdet.apis import DetInferencer, inference_detector, init_detector

CONFIG = str(Path(__file__).parents[2] / 'configs/quickstart/mask_rcnn_synthetic.py')


def test_a_path_works_after_an_array(tmp_path: Path) -> None:
    """In stock MMDetection 3.3 the array changes the config of the model: KeyError 'img'."""
    image = np.random.default_rng(0).integers(0, 255, (64, 80), np.uint8)
    cv2.imwrite(str(tmp_path / 'a.png'), image)
    model = init_detector(CONFIG, device='cpu')
    by_array = inference_detector(model, cv2.imread(str(tmp_path / 'a.png'))).pred_instances
    by_path, again = inference_detector(model, [str(tmp_path / 'a.png')] * 2)
    for found in (by_path.pred_instances, again.pred_instances):
        np.testing.assert_allclose(found.scores, by_array.scores, rtol=1e-5)


@pytest.mark.parametrize('config', [CONFIG, CONFIG.replace('_synthetic', '_bnsa_focalsiou_mbcedicels_synthetic16')])
def test_arrays_are_taken_as_their_files_are(config: str, tmp_path: Path) -> None:
    """Grey and colour, 8 bits and counts: what a file gives is what its array gives, or both are refused."""
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 255, (64, 80), np.uint8)
    model = init_detector(config, device='cpu')
    for image in (grey, grey[..., None], np.dstack([grey] * 3), rng.integers(6000, 7000, (64, 80)).astype(np.uint16)):
        cv2.imwrite(str(tmp_path / 'a.png'), image)
        try:
            by_path = inference_detector(model, str(tmp_path / 'a.png')).pred_instances
        except ValueError as error:
            with pytest.raises(ValueError, match='expected 8 bits, got 16-bit counts'):
                inference_detector(model, image)
            assert image.dtype == np.uint16 and '16-bit counts' in str(error)
            continue
        by_array = inference_detector(model, [image, image])[1].pred_instances
        np.testing.assert_allclose(by_array.scores, by_path.scores, rtol=1e-5)
        np.testing.assert_allclose(by_array.bboxes, by_path.bboxes, rtol=1e-4, atol=1e-3)


def test_the_inferencer_names_ours() -> None:
    with pytest.raises(ValueError, match=r'got LoadIRImageFromFile; take mmdet_ir\.apis\.IRInferencer'):
        DetInferencer(model=CONFIG, device='cpu', show_progress=False)
