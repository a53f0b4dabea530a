"""Trainings of a small BlendMask on a few synthetic scenes, in one process or two, through the launch scripts."""

import contextlib
import json
import os
import random
import socket
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).parents[2]
CONFIG = """
_base_ = [
    'REPO/configs/_base_/models/MODEL.py',
    'REPO/configs/_base_/datasets/synthetic.py',
    'REPO/configs/_base_/schedules/small_6e.py',
    'REPO/configs/_base_/default_runtime.py',
]
model = dict(
    # Statistics of a batch differ with its size: BatchNorm's are frozen, those of the bases are GroupNorm's.
    backbone=dict(norm_cfg=dict(type='BN', requires_grad=False), norm_eval=True),
)
load = [dict(type='LoadIRImageFromFile'), dict(type='LoadAnnotations', with_bbox=True, with_mask=True)]
meta = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')
# Nothing random: random numbers belong to a process.
pipeline = [*load, dict(type='Resize', scale=(96, 64), keep_ratio=True), dict(type='PackDetInputs', meta_keys=meta)]
train_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(data_root='DATA/', pipeline=pipeline))
val_dataloader = dict(
    batch_size=1, num_workers=0, persistent_workers=False, dataset=dict(data_root='DATA/', pipeline=pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file='DATA/annotations/val.json')
test_evaluator = val_evaluator
train_cfg = dict(max_epochs=2, val_interval=2)
param_scheduler = []
optim_wrapper = dict(_delete_=True, optimizer=dict(type='SGD', lr=0.01, momentum=0.9))
custom_imports = dict(imports=['mmdet_ir', 'dist_probe'], allow_failed_imports=False)
custom_hooks = [dict(type='ProbeHook')]
"""
BLENDMASK = """
model.update(mask_head=dict(basis_module=dict(norm_cfg=dict(type='GN', num_groups=8))))
model.update(test_cfg=dict(score_thr=0.0))
"""


def write_config(path: Path, data: Path, model: str = 'blendmask_small', more: str = BLENDMASK) -> Path:
    """Writes the config of one training; ``more`` is config text that is put after the rest."""
    text = CONFIG.replace('REPO', str(REPO)).replace('MODEL', model).replace('DATA', str(data))
    path.write_text(text + more)
    return path


def free_port() -> int:
    """A port below those that systems hand out by themselves, so nobody gets it between here and the launch."""
    while True:
        port = random.SystemRandom().randrange(20000, 32000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(('127.0.0.1', port))
            return port


def start(script: str, *arguments: object, processes: int = 1, output: Path, **options: object) -> subprocess.Popen:
    """Starts ``train`` or ``test``: directly, or through ``tools/dist_*.sh`` for several processes.

    Args:
        script: ``'train'`` or ``'test'``.
        arguments: Config, then checkpoint for a test.
        processes: How many.
        output: File for everything that is printed.
        options: Dotted keys of the config, with ``__`` for the dot.
    """
    env = {**os.environ, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': '-1', 'PORT': str(free_port())}
    env.update(PYTHON=sys.executable, PYTHONPATH=os.pathsep.join([str(Path(__file__).parent), str(REPO)]))
    program = [sys.executable, str(REPO / 'tools' / f'{script}.py'), *map(str, arguments)]
    if processes > 1:
        config, *rest = map(str, arguments)
        program = [str(REPO / 'tools' / f'dist_{script}.sh'), config, *rest, str(processes)]
    pairs = [f'{name.replace("__", ".")}={value}' for name, value in options.items()]
    work_dir = output.parent / output.stem
    program += ['--work-dir', str(work_dir), *(['--cfg-options', *pairs] if pairs else [])]
    with output.open('w') as file:
        # A session of its own: what is left of it can be ended as one.
        return subprocess.Popen(program, stdout=file, stderr=subprocess.STDOUT, env=env, start_new_session=True)


def losses(work_dir: Path, rank: int) -> list[dict[str, float]]:
    """The losses of one process, one dictionary for each iteration."""
    return [json.loads(line) for line in (work_dir / f'losses_{rank}.jsonl').read_text().splitlines()]
