"""The model ``edge`` as it comes with the package, on the sample images."""

from pathlib import Path

import mmdet_ir
from mmdet_ir.apis.inference.inferencer import IRInferencer
from mmdet_ir.model_zoo import ROOT, checkpoint_file, checksum, model_names

import cv2
import numpy as np
import pytest
import yaml

REPO = Path(mmdet_ir.__file__).parents[1]
SAMPLES = REPO / 'samples'
DRONE = (226.9, 71.1, 18.9, 11.0)  # left, top, width and height, as the release has it


@pytest.fixture(scope='module')
def edge() -> IRInferencer:
    return IRInferencer('edge', device='cpu', show_progress=False)


def test_its_files_are_those_of_the_card():
    assert 'edge' in model_names()
    entry = yaml.safe_load((ROOT / 'edge' / 'metafile.yml').read_text())['Models'][0]
    card = (ROOT / 'edge' / 'README.md').read_text()
    for name, digest in entry['SHA-256'].items():
        assert checksum(ROOT / 'edge' / name) == digest and digest in card
    assert Path(checkpoint_file('edge')).stat().st_size < 8.4e6
    assert (REPO / entry['Config']).is_file()


def test_it_finds_the_drone_of_the_sample(edge):
    found = edge.predict([edge.prepare(edge.read(SAMPLES / 'drone.png'), 'drone.png')])[0]
    best = int(found.scores.argmax())
    assert edge.classes[int(found.labels[best])] == 'uav' and found.scores[best] > 0.3
    x, y, w, h = DRONE
    rows, columns = np.nonzero(found.masks[best].numpy())
    assert x <= columns.mean() <= x + w and y <= rows.mean() <= y + h


def test_colours_and_counts_get_a_word(edge, tmp_path):
    rng = np.random.default_rng(0)
    cv2.imwrite(str(tmp_path / 'photo.png'), rng.integers(0, 256, (64, 64, 3), np.uint8))
    cv2.imwrite(str(tmp_path / 'counts.png'), rng.integers(7000, 9000, (64, 64)).astype(np.uint16))
    for name, message in (('photo.png', 'expected grey values .* got colours'), ('counts.png', 'got 16-bit counts')):
        with pytest.raises(ValueError, match=message):
            edge.prepare(edge.read(tmp_path / name), name)
