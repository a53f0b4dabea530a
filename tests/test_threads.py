"""How threads wait is set before PyTorch is imported, and never against the user's own setting."""

import os
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


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith('linux'), reason="libgomp's own report")
def test_the_library_itself_says_so() -> None:
    """libgomp reports its settings when it is loaded, if it is asked to."""
    env = {key: value for key, value in os.environ.items() if key not in VARIABLES}
    command = [sys.executable, '-c', 'import mmdet_ir']
    done = subprocess.run(command, capture_output=True, text=True, env={**env, 'OMP_DISPLAY_ENV': 'TRUE'}, check=True)
    if 'OMP_WAIT_POLICY' not in done.stderr:
        pytest.skip('this PyTorch has another OpenMP than libgomp')
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in done.stderr
