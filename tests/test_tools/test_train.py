"""tools/train.py and its launchers, on a toy problem."""

import json
import logging
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from mmdet_ir.apis import launch

import pytest
from mmengine.config import Config

pytestmark = pytest.mark.slow
REPO = Path(__file__).parents[2]


def losses(rows: list[dict]) -> list[float]:
    return [row['loss'] for row in rows if 'loss' in row]


def test_training_writes_checkpoint_and_log(trained: Path, read_scalars: Callable) -> None:
    rows = [row for row in read_scalars(trained) if 'loss' in row]
    assert [row['step'] for row in rows] == [1, 2, 3, 4]
    assert {'loss_rpn_cls', 'loss_rpn_bbox', 'loss_cls', 'loss_bbox', 'loss_mask'} <= set(rows[0])
    assert rows[-1]['loss'] < rows[0]['loss']
    assert (trained / 'epoch_1.pth').is_file()


def test_it_goes_on_after_an_interruption(
    toy_config: Path, python_tool: Callable, read_scalars: Callable, tmp_path: Path
) -> None:
    arguments = (toy_config, '--work-dir', tmp_path, '--seed', 3)
    command = [sys.executable, REPO / 'tools' / 'train.py', *arguments, '--cfg-options', 'train_cfg.max_epochs=100']
    env = {**os.environ, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': '-1'}
    with subprocess.Popen([str(part) for part in command], env=env, stdout=subprocess.DEVNULL, stderr=-3) as process:
        deadline = time.monotonic() + 300
        while not (tmp_path / 'epoch_2.pth').exists() and time.monotonic() < deadline:
            assert process.poll() is None, 'the training ended before it could be interrupted'
            time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
    latest = Path((tmp_path / 'last_checkpoint').read_text())
    epoch = int(latest.stem.removeprefix('epoch_'))
    before = read_scalars(tmp_path)
    python_tool('train.py', *arguments, '--resume', '--cfg-options', f'train_cfg.max_epochs={epoch + 1}')
    after = [row for row in read_scalars(tmp_path)[len(before) :] if 'loss' in row]
    assert [row['step'] for row in after] == [4 * epoch + i for i in (1, 2, 3, 4)]
    assert {row['epoch'] for row in after} == {epoch + 1}
    # It goes on from what was learned in the first epoch.
    assert losses(after)[0] < min(losses(before)[:4])


def test_load_from_starts_anew_from_the_weights(
    toy_config: Path, trained: Path, python_tool: Callable, read_scalars: Callable, tmp_path: Path
) -> None:
    """And ``--resume`` without anything to resume does the same. The data come through spawned workers."""
    options = (f'load_from={trained / "epoch_1.pth"}', 'env_cfg.mp_cfg.mp_start_method=spawn')
    options += ('train_dataloader.num_workers=1', 'train_dataloader.dataset.type=CocoDataset')
    names = "train_dataloader.dataset.metainfo.classes=('human','car','bicycle','uav')"
    done = python_tool(
        'train.py', toy_config, '--work-dir', tmp_path, '--seed', 3, '--resume', '--cfg-options', *options, names
    )
    assert f'Nothing to resume in {tmp_path}' in done.stdout
    rows = [row for row in read_scalars(tmp_path) if 'loss' in row]
    scratch = losses(read_scalars(trained))
    assert [row['step'] for row in rows] == [1, 2, 3, 4]
    assert rows[0]['loss'] < scratch[-1] < scratch[0]


def test_mixed_precision_on_the_cpu_follows_full_precision(
    toy_config: Path, trained: Path, read_scalars: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, 'bfloat16_slowdown', lambda: 0.7)
    options = {'experiment_name': tmp_path.name}
    runner = launch.train(str(toy_config), work_dir=str(tmp_path), seed=3, amp=True, cfg_options=options)
    assert type(runner.optim_wrapper).__name__ == 'Bf16OptimWrapper'
    got, expected = losses(read_scalars(tmp_path)), losses(read_scalars(trained))
    assert got == pytest.approx(expected, rel=0.05)
    assert got != pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ('asked', 'used', 'remedy'),
    [
        ('OptimWrapper', 'OptimWrapper', 'this training is in float32'),
        ('AmpOptimWrapper', 'OptimWrapper', 'this training is in float32'),
        ('Bf16OptimWrapper', 'Bf16OptimWrapper', "optim_wrapper.type='OptimWrapper' trains in float32"),
    ],
)
def test_a_cpu_without_bfloat16_trains_in_float32_and_says_so(
    asked: str, used: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, 'get_device', lambda: 'cpu')
    monkeypatch.setattr(launch, 'bfloat16_slowdown', lambda: 41.3)
    told = []
    monkeypatch.setattr(launch, 'print_log', lambda text, logger, level: told.append((text, level)))
    cfg = Config({'optim_wrapper': {'type': asked, 'optimizer': {'type': 'SGD', 'lr': 0.1}}})
    launch.use_mixed_precision(cfg)
    ((said, level),) = told
    assert cfg.optim_wrapper.type == used and level == logging.WARNING
    assert 'a convolution takes 41.3 times as long' in said and remedy in said


def test_flags_reach_the_training_and_the_end_tells_what_is_next(toy_config: Path, tmp_path: Path) -> None:
    """Eight images in batches of four are two steps; the schedule of the toy ends nowhere near."""
    pytest.importorskip('tensorboard')
    options = {'experiment_name': tmp_path.name, 'val_cfg': None, 'val_dataloader': None, 'val_evaluator': None}
    flags = {'epochs': 1, 'batch_size': 4, 'lr': 0.003, 'load_from': 'none', 'tensorboard': True}
    runner = launch.train(str(toy_config), work_dir=str(tmp_path), seed=3, cfg_options=options, **flags)
    assert runner.iter == 2 and runner.optim_wrapper.param_groups[0]['initial_lr'] == 0.003
    (events,) = tmp_path.glob('*/vis_data/events.out.tfevents.*')
    assert b'train/loss' in events.read_bytes() or b'loss' in events.read_bytes()
    assert 'Tensorboard' not in (tmp_path / 'toy.py').read_text()  # nor in the hash of the config
    (log,) = tmp_path.glob('*/*.log')
    text = log.read_text()
    assert f'TensorBoard: tensorboard --logdir {tmp_path}' in text
    assert f'next: python tools/test.py {toy_config} {tmp_path}/epoch_1.pth --show-dir drawn' in text
    assert Path(re.search(r'log and curves  (\S+)', text)[1]).is_dir()


@pytest.mark.parametrize(
    ('flags', 'options', 'told'),
    [
        (
            {'epochs': 3},
            {'train_cfg.max_epochs': 2},
            '--epochs: expected one setting, got --cfg-options train_',
        ),
        ({'epochs': 0}, {}, r'toy\.py: --epochs: expected a number of epochs from 1 on, got 0'),
        ({'lr': 0.1, 'auto_scale_lr': True}, {}, '--lr: expected .*--auto-scale-lr as well'),
        ({'load_from': 'edgy'}, {}, "checkpoint not found: expected a file or URL, got 'edgy'"),
    ],
)
def test_flags_that_cannot_be_meant_are_refused(
    toy_config: Path, tmp_path: Path, flags: dict, options: dict, told: str
) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=told):
        launch.train(str(toy_config), work_dir=str(tmp_path / 'run'), cfg_options=options, **flags)


def test_a_missing_tensorboard_is_told(toy_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'tensorboard', None)
    with pytest.raises(ImportError, match='--tensorboard: .* pip install tensorboard'):
        launch.train(str(toy_config), work_dir=str(tmp_path / 'run'), tensorboard=True)


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return str(probe.getsockname()[1])


def test_two_processes_train_like_one_with_the_same_global_batch(
    toy_config: Path, trained: Path, run_command: Callable, read_scalars: Callable, tmp_path: Path
) -> None:
    """Only roughly: mmdet normalises each process's losses by its own number of samples, and logs the first's."""
    command = (REPO / 'tools' / 'dist_train.sh', toy_config, 2, '--work-dir', tmp_path, '--seed', 3)
    done = run_command(*command, '--cfg-options', 'train_dataloader.batch_size=1', PORT=free_port())
    assert 'No GPU: 2 processes on the CPU with the gloo backend, 1 thread(s) each' in done.stdout
    assert losses(read_scalars(tmp_path)) == pytest.approx(losses(read_scalars(trained)), rel=0.1)


def test_a_slurm_job_trains_on_the_cpu(
    toy_config: Path, trained: Path, run_command: Callable, read_scalars: Callable, tmp_path: Path
) -> None:
    """``srun`` is played by a script that records its options and runs the one task."""
    srun = tmp_path / 'bin' / 'srun'
    srun.parent.mkdir()
    srun.write_text(
        '#!/usr/bin/env bash\n'
        f'printf "%s\\n" "$@" > {tmp_path}/options\n'
        'while [ "$1" != --end ]; do shift; done; shift\n'
        'SLURM_PROCID=0 SLURM_NTASKS=1 SLURM_LOCALID=0 SLURM_NODELIST=localhost exec "$@"\n'
    )
    srun.chmod(srun.stat().st_mode | stat.S_IXUSR)
    settings = {'GPUS': '1', 'GPUS_PER_NODE': '0', 'CPUS_PER_TASK': '2', 'SRUN_ARGS': '--qos long --end'}
    settings |= {'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': free_port(), 'PATH': f'{srun.parent}:{os.environ["PATH"]}'}
    script = REPO / 'tools' / 'slurm_train.sh'
    done = run_command(script, 'part', 'job', toy_config, tmp_path / 'run', '--seed', 3, **settings)
    assert 'No GPU: 1 processes on the CPU with the gloo backend' in done.stdout
    options = (tmp_path / 'options').read_text().split('\n')
    assert options[:5] == ['-p', 'part', '--job-name=job', '--ntasks=1', '--cpus-per-task=2']
    assert not any(option.startswith('--gres') for option in options)
    assert losses(read_scalars(tmp_path / 'run')) == pytest.approx(losses(read_scalars(trained)), rel=1e-4)


@pytest.mark.parametrize('name', ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh', 'slurm_test.sh'])
def test_launchers_without_arguments_say_how_to_use_them(run_command: Callable, name: str) -> None:
    assert 'CONFIG' in run_command(REPO / 'tools' / name, expect=2).stderr


def test_a_wrong_number_of_processes_is_told(toy_config: Path, run_command: Callable) -> None:
    done = run_command(REPO / 'tools' / 'dist_train.sh', toy_config, '--amp', expect=2)
    assert "expected a number of GPUs (or CPU processes), got '--amp'" in done.stderr


def test_a_misspelt_type_ends_in_one_line(toy_config: Path, python_tool: Callable, tmp_path: Path) -> None:
    options = ('--work-dir', tmp_path, '--cfg-options', 'model.neck.type=FPNN')
    error = python_tool('train.py', toy_config, *options, expect=2).stderr
    assert "error: unknown type 'FPNN' in the config" in error
    assert "did you mean 'FPN'" in error
    assert 'Traceback (most recent call last)' not in error
    kept = error.split('(traceback: ')[1].split(';')[0]
    assert "KeyError: 'FPNN is not in the" in Path(kept).read_text()
    Path(kept).unlink()


def test_the_config_of_a_run_is_kept_beside_it(trained: Path) -> None:
    assert "type='MaskRCNN'" in (trained / 'toy.py').read_text()
    assert json.loads(next(trained.glob('*/vis_data/scalars.json')).read_text().splitlines()[0])['step'] == 1
