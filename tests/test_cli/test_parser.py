"""The parser of the tools, and entries of two parts."""

import argparse
import ast
import importlib.util
import os
import runpy
import sys
from pathlib import Path

from mmdet_ir.cli import (
    add_cfg_options,
    add_launcher,
    named_entries,
    split_entry,
    tool_parser,
)

import pytest

REPO = Path(__file__).parents[2]
STANDALONE = ('doctor.py', 'run_onnx.py')  # they run without the package
TOOLS = sorted(path for path in (REPO / 'tools').rglob('*.py') if path.name not in STANDALONE)


class _Parsed(BaseException):
    """Carries the parser out of a tool, in place of its parsing."""


def parser_of(tool: Path, monkeypatch: pytest.MonkeyPatch) -> argparse.ArgumentParser:
    def carry(self: argparse.ArgumentParser, *_: object, **__: object) -> None:
        raise _Parsed(self)

    spec = importlib.util.spec_from_file_location(f'tool_{tool.stem}', tool)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(argparse.ArgumentParser, 'parse_args', carry)
    with pytest.raises(_Parsed) as caught:
        getattr(module, 'parse_args', module.main)()
    return caught.value.args[0]


@pytest.mark.parametrize('tool', TOOLS, ids=lambda path: str(path.relative_to(REPO / 'tools')))
def test_every_tool_can_be_read_and_has_the_shared_options(tool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parser = parser_of(tool, monkeypatch)
    docstring = ast.get_docstring(ast.parse(tool.read_text()), clean=False)
    help_text = parser.format_help()
    assert docstring.strip() in help_text  # with its lines as they stand, percent signs included
    assert 'example' in help_text
    shared = argparse.ArgumentParser()
    add_cfg_options(shared)
    for action in parser._actions:
        if '--cfg-options' in action.option_strings:
            assert type(action) is type(shared._actions[-1]) and action.default is None
            assert action.metavar == 'KEY=VALUE'


def test_settings_are_those_of_mmdetection() -> None:
    parser = tool_parser('Does.')
    add_cfg_options(parser)
    assert parser.parse_args([]).cfg_options is None
    given = parser.parse_args(['--cfg-options', 'a.b=0.5', 'c=[1,x]', 'd=(1,2)', 'e=x=y'])
    assert given.cfg_options == {'a.b': 0.5, 'c': [1, 'x'], 'd': (1, 2), 'e': 'x=y'}


@pytest.mark.parametrize('wrong', ['a', '=1'])
def test_a_setting_without_key_or_value_is_refused(wrong: str, capsys: pytest.CaptureFixture) -> None:
    parser = tool_parser('Does.')
    add_cfg_options(parser)
    with pytest.raises(SystemExit, match='2'):
        parser.parse_args(['--cfg-options', 'b=2', wrong])
    assert f"--cfg-options: expected KEY=VALUE, got '{wrong}'" in capsys.readouterr().err


@pytest.mark.parametrize(('known', 'expected'), [(None, '3'), ('1', '1')])
def test_the_launcher_s_rank_goes_to_the_environment(
    known: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('LOCAL_RANK', known or '')
    if known is None:
        monkeypatch.delenv('LOCAL_RANK')
    parser = tool_parser('Does.')
    add_launcher(parser)
    assert vars(parser.parse_args(['--launcher', 'pytorch', '--local-rank=3'])) == {'launcher': 'pytorch'}
    assert os.environ['LOCAL_RANK'] == expected


def test_entries_of_two_parts() -> None:
    assert split_entry('x', 'a=b=c') == ('a', 'b=c')
    assert split_entry('x', 'a=b=c', last=True) == ('a=b', 'c')
    assert split_entry('x', 'a', 'NAME[=FILE]') == ('a', '')
    assert named_entries('x', ['a=b=c', 'd=e']) == {'a': 'b=c', 'd': 'e'}


@pytest.mark.parametrize('entry', ['', '=', '=a', 'a='])
@pytest.mark.parametrize('form', ['NAME=FILE', 'NAME[=FILE]'])
def test_an_entry_that_lacks_a_part_is_refused(entry: str, form: str) -> None:
    with pytest.raises(ValueError) as caught:
        split_entry('--x', entry, form)
    assert str(caught.value) == f"--x: expected {form}, got '{entry}'"


def test_a_name_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="--x: expected each name once, got 'a' twice"):
        named_entries('--x', ['a=1', 'b=2', 'a=1'])


@pytest.mark.parametrize(
    ('tool', 'arguments', 'message'),
    [
        ('data/convert.py', ['voc', 'no/such/folder', 'OUT'], 'no/such/folder'),
        ('data/split.py', ['no/such.json', 'OUT'], 'annotation file not found: no/such.json'),
        ('data/merge.py', ['OUT', 'no/such/folder'], 'no/such/folder'),
        ('data/synthesize.py', ['OUT', '--train', '-1'], 'train'),
        ('data/synthesize.py', ['/dev/null/OUT', '--train', '1', '--val', '1'], '/dev/null'),
        ('analysis/benchmark.py', ['configs/ir/mask_rcnn.py='], 'models: expected CONFIG[=CHECKPOINT], got'),
        ('analysis/compare_masks.py', ['a.json', 'b.json'], "others: expected NAME=FILE.json, got 'b.json'"),
    ],
)
def test_a_mistake_ends_every_tool_with_2_and_one_line(
    tool: str,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    tmp_path: Path,
) -> None:
    monkeypatch.delenv('MMDET_IR_TRACEBACK', raising=False)
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    path = str(REPO / 'tools' / tool)
    monkeypatch.setattr(sys, 'argv', [path, *(a.replace('OUT', str(tmp_path / 'out')) for a in arguments)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(path, run_name='__main__')
    assert ended.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith('error: ')] == [lines[-2]]
    assert message in lines[-2]
