#!/usr/bin/env python
"""Says what is installed, which devices and operators are in use, and how to mend what is wrong.

Needs nothing but Python, so it also runs on a broken set-up. Exit code 0 if all is well, 1 if something is wrong.
"""

from __future__ import annotations

import argparse
import configparser
import importlib
import importlib.util
import json
import os
import platform
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO))


def load_requirements() -> ModuleType:
    """``mmdet_ir.compat.requirements``, without its package, which cannot be imported on a broken set-up."""
    spec = importlib.util.spec_from_file_location('requirements', REPO / 'mmdet_ir/compat/requirements.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


requirements = load_requirements()

# Distributions of which one is needed; others would overwrite its files.
ALTERNATIVES = (
    ('opencv-python', 'opencv-python-headless', 'opencv-contrib-python', 'opencv-contrib-python-headless'),
)
# In this order: each needs those before it.
MODULES = (
    'numpy',
    'cv2',
    'torch',
    'torchvision',
    'pycocotools.mask',
    'mmdet_ir.compat',
    'mmdet_ir.compat.amp',
    'mmcv.ops',
    'mmdet.apis',
)
# What an import of a broken package has been seen to raise.
IMPORT_ERRORS = (ImportError, OSError, RuntimeError, AttributeError, AssertionError, TypeError, ValueError)
# Text in the error of an import -> how to mend it; the first that fits is taken.
REMEDIES = (
    (
        'operator torchvision::',
        'torch and torchvision do not fit each other: `pip install -U torch torchvision` (both from the same index)',
    ),
    (
        'libGL',
        'OpenCV wants a display library: `pip uninstall -y opencv-python && pip install --force-reinstall '
        'opencv-python-headless` (or install the system package libgl1)',
    ),
    (
        'undefined symbol',
        'a compiled package was built for another torch: reinstall it; for mmcv, `pip uninstall -y mmcv && '
        'pip install mmcv-lite` (operators then come from torchvision)',
    ),
    ('NumPy 1.x', 'the package was built for NumPy 1: upgrade it, or `pip install "numpy<2"`'),
    ('numpy.dtype size changed', 'the package was built for another NumPy: reinstall it'),
    ('is used but incompatible', '`pip install -r requirements.txt` installs versions that fit each other'),
)
Problem = dict


def packages() -> tuple[list[tuple[str, ...]], list[str]]:
    """Distributions that are needed, each with what may stand for it, and those that some tools need, of setup.cfg."""
    settings = configparser.ConfigParser()
    settings.read(REPO / 'setup.cfg', encoding='utf-8')
    needed = _names(settings['options']['install_requires'])
    extras = {extra: _names(text) for extra, text in settings['options.extras_require'].items()}
    # (the extras of a family are compat.requirements' affair)
    kept = [extras[extra] for extra in extras if extra not in ('docs', 'test', 'stock', 'onedl', 'full', 'lite')]
    stand_in = {name: names for names in ALTERNATIVES for name in names}
    return [stand_in.get(name, (name,)) for name in needed], [name for names in kept for name in names]


def _names(requirements: str) -> list[str]:
    return re.findall(r'^[\w.-]+', requirements, flags=re.MULTILINE)


def check_packages() -> tuple[dict[str, str | None], list[Problem]]:
    """Versions of the installed packages, and what is missing or in each other's way."""
    versions: dict[str, str | None] = {'python': platform.python_version()}
    problems = requirements.check_family()
    for found in requirements.installed_family().values():
        versions.update(found)
    needed, optional = packages()
    for names in needed:
        found = {name: version for name in names if (version := requirements.version_of(name)) is not None}
        either = ' or '.join(names)
        versions.update(found or {either: None})
        if not found:
            problems.append({'problem': f'{either} is not installed', 'remedy': 'pip install -r requirements.txt'})
        if len(set(found.values())) > 1:
            names = ' '.join(found)
            problems.append(
                {
                    'problem': f'{names.replace(" ", " and ")} are both installed and overwrite each other',
                    'remedy': f'`pip uninstall -y {names}`, then install one of them',
                }
            )
    versions.update({name: version for name in optional if (version := requirements.version_of(name)) is not None})
    return versions, problems


def check_imports() -> tuple[dict[str, ModuleType], list[Problem]]:
    """Imports each module; one that fails ends the list, because those after it need it."""
    modules = {}
    for name in MODULES:
        try:
            modules[name] = importlib.import_module(name)
        except IMPORT_ERRORS as error:
            text = str(error).strip()
            remedy = next((mend for sign, mend in REMEDIES if sign in text), 'pip install -r requirements.txt')
            return modules, [{'problem': f'`import {name}` fails: {type(error).__name__}: {text}', 'remedy': remedy}]
    return modules, []


def check_devices(torch: ModuleType, amp: ModuleType | None) -> tuple[dict[str, object], list[Problem]]:
    devices: dict[str, object] = {'cpu': {'cores': os.cpu_count(), 'threads': torch.get_num_threads()}}
    if amp is not None:
        devices['cpu']['bf16'] = amp.bfloat16_slowdown() <= amp.MAX_SLOWDOWN
    for index in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(index)
        memory = round(gpu.total_memory / 2**30, 1)
        devices[f'cuda:{index}'] = {
            'name': gpu.name,
            'memory_gib': memory,
            'bf16': gpu.major >= 8,  # in hardware, from Ampere on
        }
    if not torch.cuda.is_available() and shutil.which('nvidia-smi') and os.environ.get('CUDA_VISIBLE_DEVICES') != '-1':
        built = f'built for CUDA {torch.version.cuda}' if torch.version.cuda else 'built without CUDA'
        return devices, [
            {
                'problem': f'there is an NVIDIA driver, but torch {torch.__version__} ({built}) finds no GPU',
                'remedy': 'install a torch for your driver (https://pytorch.org/get-started), or update the driver',
            }
        ]
    if not torch.cuda.is_available():
        built = f'is built for CUDA {torch.version.cuda}' if torch.version.cuda else 'is built without CUDA'
        reason = 'no NVIDIA driver was found' if torch.version.cuda else 'a GPU would not be used'
        devices['cpu']['note'] = f'torch {built}, {reason}: everything runs on the CPU'
    return devices, []


def test_operators(torch: ModuleType, ops: ModuleType, device: str) -> str | None:
    """Runs NMS and RoIAlign on numbers whose results are known; returns what is wrong, or ``None``."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30]], device=device)
    kept = ops.nms(boxes, torch.tensor([0.8, 0.9, 0.7], device=device), 0.5)[1].tolist()
    if kept != [1, 2]:
        return f'nms keeps boxes {kept}, expected [1, 2]'
    ramp = torch.arange(8.0, device=device).expand(1, 1, 8, 8).clone().requires_grad_()
    roi = torch.tensor([[0.0, 2, 2, 6, 6]], device=device)
    pooled = ops.roi_align(ramp, roi, (2, 2), 1.0, 2, 'avg', True)
    pooled.sum().backward()
    # Cell centres lie at half coordinates, so the two bins are centred on columns 2.5 and 4.5.
    if not torch.allclose(pooled[0, 0], torch.tensor([[2.5, 4.5], [2.5, 4.5]], device=device)):
        return f'roi_align gives {pooled[0, 0].tolist()}, expected [[2.5, 4.5], [2.5, 4.5]]'
    if abs(ramp.grad.sum().item() - 4) > 1e-5:
        return f'the gradient of roi_align sums to {ramp.grad.sum().item()}, expected 4'
    return None


def examine() -> dict[str, object]:
    versions, problems = check_packages()
    modules, failed = check_imports()
    report: dict[str, object] = {
        'versions': versions,
        'family': ' and '.join(requirements.installed_family()) or None,
        'devices': {},
        'operators': None,
        'self_test': {},
    }
    # A missing package also makes an import fail; that is told once.
    told = {entry['remedy'] for entry in problems}
    problems += [entry for entry in failed if entry['remedy'] not in told]
    if 'torch' in modules:
        report['devices'], more = check_devices(modules['torch'], modules.get('mmdet_ir.compat.amp'))
        problems += more
    if 'mmcv.ops' in modules:
        report['operators'] = modules['mmdet_ir.compat'].operator_backend()
        for device in report['devices']:
            wrong = test_operators(modules['torch'], modules['mmcv.ops'], device)
            report['self_test'][device] = wrong or 'passed'
            if wrong:
                problems.append(
                    {'problem': f'self-test on {device}: {wrong}', 'remedy': 'reinstall torch, torchvision and mmcv'}
                )
    return {**report, 'problems': problems}


def show(report: dict[str, object]) -> None:
    print('Versions')
    for name, version in report['versions'].items():
        print(f'  {name:24} {version or "-"}')
    family = {'stock': "OpenMMLab's own packages (stock)", 'onedl': 'the maintained forks (onedl)'}
    print(f'Family\n  {family.get(report["family"], report["family"] or "-")}')
    print('Devices')
    for name, facts in report['devices'].items():
        print(f'  {name:24} {", ".join(f"{key} {value}" for key, value in facts.items())}')
    print('Operators')
    backend = {'mmcv': "mmcv's compiled ones", 'torchvision': "torchvision's kernels, through mmdet_ir.compat"}
    print(f'  {"served by":24} {backend.get(report["operators"], "-")}')
    for device, result in report['self_test'].items():
        print(f'  {"self-test on " + device:24} {result}')
    if not report['problems']:
        print('All is well.')
    for number, entry in enumerate(report['problems'], start=1):
        print(f'Problem {number}: {entry["problem"]}\n  mend it: {entry["remedy"]}')


def main() -> int:
    for entry in requirements.check_python():
        sys.exit(f'error: {entry["problem"]}; {entry["remedy"]}')
    parser = argparse.ArgumentParser(description=__doc__, epilog='example: python tools/doctor.py --json')
    parser.add_argument('--json', action='store_true', help='print the report as JSON')
    args = parser.parse_args()
    report = examine()
    if args.json:
        print(json.dumps(report, indent=2))
    else:
        show(report)
    return 1 if report['problems'] else 0


if __name__ == '__main__':
    sys.exit(main())
