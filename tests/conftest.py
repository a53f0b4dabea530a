"""Shared fixtures. Real infrared data is optional: tests that need it are marked ``real_data``."""

import os
from pathlib import Path

import mmdet_ir  # noqa: F401  (first: test files may import mmcv and mmdet before it)

import pytest
import torch

REAL_DATA = Path(os.environ.get('MMDET_IR_REAL_DATA', Path(__file__).parents[2] / 'shared' / 'data'))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not torch.cuda.is_available() and os.environ.get('MMDET_IR_GPU_TESTS') != 'cpu':
        skip = pytest.mark.skip(reason='no CUDA GPU')
        for item in items:
            if 'gpu' in item.keywords:
                item.add_marker(skip)
    if REAL_DATA.is_dir():
        return
    skip = pytest.mark.skip(reason=f'no real infrared data at {REAL_DATA}; set MMDET_IR_REAL_DATA to its folder')
    for item in items:
        if 'real_data' in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope='session')
def real_data_root() -> Path:
    """Folder with ``hit_uav/`` and ``drone_ir/`` in their releases' own layout."""
    return REAL_DATA
