"""The tools of tools/deploy, one after the other, as a user starts them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_problem import REPO, write_problem

pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')
pytestmark = pytest.mark.slow


def run(tool: str, *args: object, code: int = 0) -> subprocess.CompletedProcess:
    command = [sys.executable, str(REPO / 'tools' / 'deploy' / tool), *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPO)
    assert done.returncode == code, done.stdout[-2000:] + done.stderr[-3000:]
    return done


def test_export_quantise_and_score(tmp_path: Path) -> None:
    write_problem(tmp_path)
    config, model, int8 = tmp_path / 'config.py', tmp_path / 'new' / 'model.onnx', tmp_path / 'int8.onnx'
    done = run(
        'export.py',
        config,
        tmp_path / 'weights.pth',
        '--format',
        'onnx',
        '--out',
        model,
        '--verify',
        tmp_path / 'images',
        '--number',
        2,
    )
    # three files, evenly: two of them; and an evenly grey image of their size
    assert 'batch 1: 3 images (1 without detections)' in done.stdout
    assert '| differences                    | 0 ' in done.stdout
    assert [path.name for path in model.parent.iterdir()] == ['model.onnx']

    train = [
        f'train_dataloader.dataset.{key}={value}'
        for key, value in {'data_root': f'{tmp_path}/', 'image_key': 'file_name', 'ann_file': 'val.json'}.items()
    ]
    done = run('quantize.py', model, config, '--out', int8, '--number', 3, '--cfg-options', *train)
    assert f'written: {int8} (' in done.stdout and 'from 3 images' in done.stdout

    for file in (model, int8):
        done = run('test_exported.py', file, config, '--out', file.with_suffix('.json'))
        assert '| mAP50 ' in done.stdout.replace('|  mAP50', '| mAP50')
        assert json.loads(file.with_suffix('.json').read_text())['images'] == 3


def test_a_file_that_is_no_model_is_one_line(tmp_path: Path) -> None:
    write_problem(tmp_path)
    (tmp_path / 'model.txt').write_text('no model')
    done = run('test_exported.py', tmp_path / 'model.txt', tmp_path / 'config.py', code=2)
    (line,) = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    assert 'model.txt' in line and '.onnx' in line and 'Traceback' not in done.stderr
