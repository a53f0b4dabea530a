"""Tools answer ``--help`` before they import what takes seconds, and the package is prepared with its first use."""

import ast
import subprocess
import sys
from pathlib import Path

from mmdet_ir.late import LIBRARIES, LIGHT

import pytest

REPO = Path(__file__).parents[2]
# What they offer is made by what they run: corruptions, the tables of the paper, cases.
LATE = {'robustness.py', 'reproduce.py', 'large_set.py'}
ALL_TOOLS = sorted((REPO / 'tools').rglob('*.py'))
TOOLS = [path for path in ALL_TOOLS if path.name not in LATE]
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


@pytest.mark.parametrize('tool', ALL_TOOLS, ids=lambda path: path.stem)
def test_what_takes_seconds_is_imported_where_errors_are_told(tool: Path) -> None:
    """With half an installation, an import fails: within `run_tool` that is one line, at the top it is a traceback."""
    body = ast.parse(tool.read_text()).body
    names = [alias.name for node in body if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or '' for node in body if isinstance(node, ast.ImportFrom)]
    parts = [name.split('.') for name in names]
    rooms = {'.'.join(part[:2]) for part in parts if part[0] == 'mmdet_ir'}
    assert rooms <= {f'mmdet_ir.{room}' for room in LIGHT}
    assert not {part[0] for part in parts} & {'torch', 'torchvision', *LIBRARIES}


FOUND = "from mmdet.registry import MODELS; print(MODELS.get('BNSA').__module__)"
IN_ANY_ORDER = ['import mmdet_ir', 'import mmengine, mmdet_ir', 'import mmdet_ir.datasets.wrappers']


@pytest.mark.parametrize('first', IN_ANY_ORDER)
def test_all_is_registered_when_it_can_be_asked_for(first: str) -> None:
    """In either order; modules are imported once, and know where they come from."""
    told = run(f'{first}; {FOUND}; import mmdet_ir.models as m; print(m.__spec__.origin)')
    assert told.splitlines()[-2:] == ['mmdet_ir.models.layers.bnsa', str(REPO / 'mmdet_ir/models/__init__.py')]


def test_rooms_are_attributes_of_the_package() -> None:
    assert run('import mmdet_ir; print(mmdet_ir.engine.EX_TEMPFAIL)').splitlines()[-1] == '75'
