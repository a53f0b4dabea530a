"""Tools that read configs or records of the repository by themselves do so from any folder."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from mmdet_ir.model_zoo import own_config

import cv2
import numpy as np
import pytest

REPO = Path(__file__).parents[2]


def listed(folder: Path, *options: str) -> str:
    command = [sys.executable, str(REPO / 'tools/reproduce.py'), '--dry-run', *options]
    env = {**os.environ, 'PYTHONPATH': str(REPO)}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_runs_are_the_same_from_any_folder(tmp_path: Path) -> None:
    """Also which of them have a record, and which data are missing."""
    options = ('--size', 'study', '--table', 'parts', '--rows', 'none', 'ours')
    assert listed(tmp_path, *options) == listed(REPO, *options)


def test_what_the_user_names_is_meant_from_the_user_s_folder(tmp_path: Path) -> None:
    square = {'bbox': [8, 8, 40, 40], 'area': 1600, 'segmentation': [[8, 8, 48, 8, 48, 48, 8, 48]], 'iscrowd': 0}
    content = {
        'images': [{'id': 1, 'file_name': 'a.png', 'width': 96, 'height': 64}],
        'categories': [{'id': 1, 'name': 'ship'}],
        'annotations': [{'id': 1, 'image_id': 1, 'category_id': 1, **square}],
    }
    for split in ('train', 'val'):
        path = tmp_path / 'ships/annotations' / f'{split}.json'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    (tmp_path / 'ships/images').mkdir()
    cv2.imwrite(str(tmp_path / 'ships/images/a.png'), np.arange(64 * 96, dtype=np.uint8).reshape(64, 96))
    own = ('--data', 'mine=ships', '--work-dir', 'runs', '--results', 'kept', '--table', '1', '--rows', 'none')
    text = listed(tmp_path, *own)
    assert 'NO DATA' not in text
    assert re.search(rf'train .* --work-dir {tmp_path}/runs/', text)
    assert re.search(rf'record +{tmp_path}/kept/', text)


@pytest.mark.parametrize('name', ['configs/ir/mask_rcnn.py', 'configs/none.py'])
def test_own_configs_are_found_from_any_folder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Path(own_config(name)).is_file() == (REPO / name).is_file()
    (tmp_path / 'configs/ir').mkdir(parents=True)
    (tmp_path / 'configs/ir/mask_rcnn.py').write_text('')
    assert own_config('configs/ir/mask_rcnn.py') == 'configs/ir/mask_rcnn.py'
