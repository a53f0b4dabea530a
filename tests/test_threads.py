"""How threads wait is set before PyTorch is imported, and never against the user's own setting."""

import os
import re
import subprocess
import sys

from mmdet_ir.threads import VARIABLES, wait_without_spinning

import pytest


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """As at the start of a program: PyTorch is not there yet, and the user has said nothing."""
    monkeypatch.delitem(sys.modules, 'torch')
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('OMP_WAIT_POLICY', '')  # (so that it is put back in the end)
    monkeypatch.delenv('OMP_WAIT_POLICY')


@pytest.mark.usefixtures('fresh')
def test_threads_sleep_by_default() -> None:
    assert wait_without_spinning() and os.environ['OMP_WAIT_POLICY'] == 'PASSIVE'


@pytest.mark.usefixtures('fresh')
@pytest.mark.parametrize(
    ('name', 'value'), [('OMP_WAIT_POLICY', 'ACTIVE'), ('GOMP_SPINCOUNT', '5000'), ('KMP_BLOCKTIME', '200')]
)
def test_what_the_user_set_stays(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert not wait_without_spinning()
    assert {key: os.environ[key] for key in VARIABLES if key in os.environ} == {name: value}


def test_where_it_is_too_late_nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert not wait_without_spinning() and 'OMP_WAIT_POLICY' not in os.environ


def _spins(program: str) -> str | None:
    """How often a waiting thread looks before it sleeps; libgomp tells where it is asked to."""
    env = {key: value for key, value in os.environ.items() if key not in VARIABLES}
    command = [sys.executable, '-c', program]
    env['OMP_DISPLAY_ENV'] = 'VERBOSE'
    told = subprocess.run(command, capture_output=True, text=True, env=env, check=True).stderr
    found = re.search(r"GOMP_SPINCOUNT = '(\d+)'", told)
    return found and found.group(1)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith('linux'), reason="libgomp's own report")
@pytest.mark.parametrize(
    'program', ['import mmdet_ir, torch', 'from mmdet_ir.apis import IRInferencer', 'import mmdet_ir.cli, torch']
)
def test_the_library_itself_says_so(program: str) -> None:
    if _spins('import torch') in (None, '0'):
        pytest.skip('this PyTorch has another OpenMP than libgomp')
    assert _spins(program) == '0'
