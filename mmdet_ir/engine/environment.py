"""What a run ran on: commit, hardware, versions."""

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ..fileio import write_text

ENVIRONMENT_FILE = 'environment.json'
_STAND_INS = ('mmcv', 'opencv-python-headless')  # for mmcv-lite and opencv-python


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
    """Commit of this project, hardware and versions of this process.

    Example:
        >>> from mmdet_ir.engine import collect_environment
        >>> sorted(collect_environment())
        ['commit', 'dirty', 'hardware', 'versions']
    """
    return {
        **git_state(Path(__file__).parent),
        'hardware': {
            'cpu': _cpu_model(),
            'cores': len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count(),
            'gpus': [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        },
        'versions': {
            'python': platform.python_version(),
            **installed_versions(),
        },
    }


def installed_versions() -> dict[str, str]:
    """Versions of the installed distributions that this project may need, by name.

    Which those are is read from the project's own metadata (``setup.cfg``); what only its tests and its documentation
    need is left out. Where the project runs without being installed, they are the distributions that are imported.
    """
    installed = {dist.metadata['Name'].lower(): dist for dist in importlib.metadata.distributions()}
    try:
        requirements = importlib.metadata.requires('mmdet_ir') or []
    except importlib.metadata.PackageNotFoundError:
        distributions = importlib.metadata.packages_distributions()
        requirements = [name for module in distributions.keys() & sys.modules.keys() for name in distributions[module]]
    needed = [
        re.match(r'[\w.-]+', requirement).group()
        for requirement in sorted(requirements, key=str.lower)
        if not re.search(r"""extra == ['"](?:test|docs)['"]""", requirement)
    ]
    chosen = [installed[name.lower()] for name in dict.fromkeys([*needed, *_STAND_INS]) if name.lower() in installed]
    return {dist.metadata['Name']: dist.version for dist in chosen}


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

    Example:
        >>> from mmengine.registry import HOOKS
        >>> custom_hooks = [{'type': 'EnvironmentHook'}]  # in a config
        >>> type(HOOKS.build(custom_hooks[0])).__name__
        'EnvironmentHook'
    """

    def before_train(self, runner: Runner) -> None:
        if is_main_process():
            path, weights = Path(runner.log_dir) / ENVIRONMENT_FILE, runner.cfg.get('load_from')
            known = weights is not None and Path(weights).is_file()
            sha256 = hashlib.sha256(Path(weights).read_bytes()).hexdigest() if known else None
            write_text(path, json.dumps({**collect_environment(), 'initial_weights': sha256}, indent=2) + '\n')
