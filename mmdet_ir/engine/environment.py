"""What a run ran on: commit, hardware, versions."""

import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
from pathlib import Path

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ..fileio import write_text

ENVIRONMENT_FILE = 'environment.json'
_PACKAGES = (
    'torch',
    'torchvision',
    'mmengine',
    'mmcv',
    'mmcv-lite',
    'mmdet',
    'numpy',
    'opencv-python',
    'pycocotools',
    'faster-coco-eval',
)


def git_state(folder: str | os.PathLike) -> dict[str, str | bool | None]:
    """``commit`` and whether tracked files are changed (``dirty``); both ``None`` outside a git checkout."""

    def git(*arguments: str) -> str:
        command = ['git', '-C', str(folder), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    try:
        return {
            'commit': git('rev-parse', 'HEAD'),
            'dirty': bool(git('status', '--porcelain', '--untracked-files=no')),
        }
    except (FileNotFoundError, subprocess.CalledProcessError):
        return {'commit': None, 'dirty': None}


def collect_environment() -> dict:
    """Commit of this project, hardware and versions of this process."""
    installed = {dist.metadata['Name']: dist.version for dist in importlib.metadata.distributions()}
    return {
        **git_state(Path(__file__).parent),
        'hardware': {
            'cpu': _cpu_model(),
            'cores': len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count(),
            'gpus': [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        },
        'versions': {
            'python': platform.python_version(),
            **{name: installed[name] for name in _PACKAGES if name in installed},
        },
    }


def _cpu_model() -> str:
    cpuinfo = Path('/proc/cpuinfo')  # Linux; platform.processor() is empty or vague there
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith('model name'):
                return line.split(':', 1)[1].strip()
    return platform.processor() or platform.machine()


@HOOKS.register_module()
class EnvironmentHook(Hook):
    """Writes ``environment.json`` beside the log when training starts, so that a record tells what really ran.

    Besides :func:`collect_environment` it has ``initial_weights``, the SHA-256 of ``load_from`` if that is a local
    file, else ``None``: a file of the same name may be another one tomorrow.
    """

    def before_train(self, runner: Runner) -> None:
        if is_main_process():
            path, weights = Path(runner.log_dir) / ENVIRONMENT_FILE, runner.cfg.get('load_from')
            known = weights is not None and Path(weights).is_file()
            sha256 = hashlib.sha256(Path(weights).read_bytes()).hexdigest() if known else None
            write_text(path, json.dumps({**collect_environment(), 'initial_weights': sha256}, indent=2) + '\n')
