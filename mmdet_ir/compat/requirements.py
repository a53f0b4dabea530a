"""What an installation needs, and how to mend one that lacks it.

Imports nothing but Python's own library, and is readable to Python 3.8, so that tools/doctor.py can use it on a broken
set-up.
"""

from __future__ import annotations

import importlib.util
import platform
import sys
from collections.abc import Collection
from importlib import metadata

MINIMUM_PYTHON = (3, 10)
# Before 2.6, a checkpoint could run code even under weights_only=True (CVE-2025-32434).
MINIMUM_TORCH = (2, 6)
# Two families with the same names of modules: OpenMMLab's own, and its maintained forks. Module -> distributions.
FAMILIES = {
    'stock': {'mmengine': ('mmengine',), 'mmcv': ('mmcv-lite', 'mmcv'), 'mmdet': ('mmdet',)},
    'onedl': {'mmengine': ('onedl-mmengine',), 'mmcv': ('onedl-mmcv',), 'mmdet': ('onedl-mmdetection',)},
}
REMEDIES = {
    'stock': '`pip install -r requirements.txt`',
    'onedl': '`pip install --no-deps -r .ci/forks.txt`',
}
Problem = dict  # 'problem' and 'remedy', in words


def version_of(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def check_python() -> list[Problem]:
    """Whether Python is new enough."""
    if sys.version_info[:2] >= MINIMUM_PYTHON:
        return []
    return [
        {
            'problem': f'expected Python 3.10 or newer, got {platform.python_version()}',
            'remedy': 'make an environment with a newer Python, e.g. `make PYTHON=python3.12 install`',
        }
    ]


def installed_family() -> dict[str, dict[str, str]]:
    """Installed distributions of each family and their versions; a family of which there is nothing is left out."""
    found = {}
    for family, modules in FAMILIES.items():
        names = [name for group in modules.values() for name in group]
        versions = {name: version for name in names if (version := version_of(name)) is not None}
        if versions:
            found[family] = versions
    return found


def check_family() -> list[Problem]:
    """Whether mmengine, mmcv and mmdet are there, all of one family and each once."""
    found = installed_family()
    if len(found) > 1:
        return [_in_each_others_way([name for versions in found.values() for name in versions], list(found))]
    family = next(iter(found), 'stock')
    for module, names in FAMILIES[family].items():
        there = [name for name in names if name in found.get(family, {})]
        if len(there) > 1:
            return [_in_each_others_way(there, [family])]
        if not there and not _importable(module):
            present = ' and '.join(found.get(family, {}))
            return [
                {
                    'problem': f'{" or ".join(names)} is not installed' + (f' beside {present}' if present else ''),
                    'remedy': REMEDIES[family],
                }
            ]
    return []


def _importable(module: str) -> bool:
    """Whether there is a package without a distribution, such as a checkout on ``PYTHONPATH``."""
    spec = importlib.util.find_spec(module)
    return spec is not None and spec.origin is not None


def _in_each_others_way(names: Collection[str], families: Collection[str]) -> Problem:
    *most, last = sorted(names)
    return {
        'problem': f'{", ".join(most)} and {last} are installed together and overwrite each other',
        'remedy': f'`pip uninstall -y {" ".join(sorted(names))}`, then '
        + ' or '.join(REMEDIES[family] for family in families),
    }


def require_working_setup() -> None:
    """Checks what mmengine and this package need and cannot report well themselves.

    Raises:
        ImportError: What is missing or too old, and the command that mends it.
    """
    for entry in check_family():
        raise ImportError(f'{entry["problem"]}: {entry["remedy"]}')
    import torch

    version = torch.__version__
    if tuple(int(part) for part in version.split('.')[:2]) < MINIMUM_TORCH:
        raise ImportError(
            f'expected torch 2.6 or newer, got {version}: older versions can run code hidden in a checkpoint, even '
            'when told not to (CVE-2025-32434): run `pip install -U torch torchvision`'
        )
