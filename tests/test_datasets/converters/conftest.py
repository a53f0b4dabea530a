"""Fixtures of the converters' tests."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def run_tool(monkeypatch) -> Callable[..., int]:
    """Runs ``tools/data/convert.py`` in this process; returns its exit code, raises for a user's mistake."""
    path = Path(__file__).parents[3] / 'tools' / 'data' / 'convert.py'
    spec = importlib.util.spec_from_file_location('convert_tool', path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)

    def run(*arguments) -> int:
        monkeypatch.setattr(sys, 'argv', [str(path), *map(str, arguments)])
        try:
            tool.main()
        except SystemExit as end:
            return end.code
        return 0

    return run
