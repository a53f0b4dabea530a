"""Tools answer ``--help`` before they import what takes seconds, and the package is prepared with its first use."""

import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
# What they offer is made by what they run: forms, cases, corruptions, the tables of the paper.
LATE = {'benchmark.py', 'benchmark_waiting.py', 'robustness.py', 'reproduce.py', 'large_set.py'}
TOOLS = sorted(path for path in (REPO / 'tools').rglob('*.py') if path.name not in LATE)
RUN = """
import runpy, sys
sys.argv = [sys.argv[1], '--help']
try:
    runpy.run_path(sys.argv[0], run_name='__main__')
except SystemExit as end:
    assert not end.code
print('IMPORTED', *(name for name in ('torch', 'mmengine', 'mmcv', 'mmdet', 'scipy') if name in sys.modules))
"""


def run(code: str, *arguments: object) -> str:
    words = [sys.executable, '-W', 'ignore', '-c', code, *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=REPO)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize('tool', TOOLS, ids=lambda path: path.stem)
def test_help_imports_nothing_that_takes_seconds(tool: Path) -> None:
    *text, last = run(RUN, tool).splitlines()
    assert text[0].startswith('usage: ')
    assert last.split() == ['IMPORTED']


FOUND = "from mmdet.registry import MODELS; print(MODELS.get('BNSA').__module__)"
IN_ANY_ORDER = ['import mmdet_ir', 'import mmengine, mmdet_ir', 'import mmdet_ir.datasets.wrappers']


@pytest.mark.parametrize('first', IN_ANY_ORDER)
def test_all_is_registered_when_it_can_be_asked_for(first: str) -> None:
    """In either order; modules are imported once, and know where they come from."""
    told = run(f'{first}; {FOUND}; import mmdet_ir.models as m; print(m.__spec__.origin)')
    assert told.splitlines()[-2:] == ['mmdet_ir.models.layers.bnsa', str(REPO / 'mmdet_ir/models/__init__.py')]


def test_rooms_are_attributes_of_the_package() -> None:
    assert run('import mmdet_ir; print(mmdet_ir.engine.EX_TEMPFAIL)').splitlines()[-1] == '75'
