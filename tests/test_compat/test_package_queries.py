"""What mmengine and mmcv ask about packages, without pkg_resources and pkgutil.find_loader."""

import os
import pkgutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import mmdet_ir
from mmdet_ir.compat import packages, requirements

import mmcv.utils
import mmdet
import mmengine.config.config
import mmengine.hub
import mmengine.model.utils
import mmengine.utils
import numpy
import pytest
from mmengine.config import Config

ROOT = Path(mmdet_ir.__file__).parents[1]


def test_stock_names_are_replaced_wherever_they_were_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither module can be imported or asked here, as with setuptools 82 and Python 3.14."""
    monkeypatch.setitem(sys.modules, 'pkg_resources', None)
    monkeypatch.delattr(pkgutil, 'find_loader', raising=False)
    folder = str(Path(mmdet.__file__).parent)
    assert mmengine.config.config.get_installed_path('mmdet') == folder
    assert mmengine.hub.hub.get_installed_path('mmdet') == folder
    assert mmengine.utils.is_installed('mmdet') and mmengine.config.config.is_installed('mmdet')
    assert not mmengine.utils.is_installed('no_such_package')
    assert mmengine.model.utils.mmcv_full_available() and mmcv.utils.ext_loader.check_ops_exist()
    base = Config.fromfile(ROOT / 'configs/ir/mask_rcnn.py')  # whose base is 'mmdet::...'
    assert base.model.type == 'MaskRCNN'


def test_a_distribution_with_another_name_than_its_module() -> None:
    """PyYAML is imported as yaml; numpy has no file that names its modules."""
    import yaml

    assert packages.is_installed('PyYAML') and packages.is_installed('yaml')
    assert packages.get_installed_path('numpy') == str(Path(numpy.__file__).parent)
    assert packages.package2module('PyYAML') in ('yaml', '_yaml')
    assert Path(packages.get_installed_path('PyYAML')).parent == Path(yaml.__file__).parents[1]


def test_what_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(metadata.PackageNotFoundError):
        packages.get_installed_path('no_such_package')
    (tmp_path / 'space_without_a_file').mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert not packages.is_installed('space_without_a_file')
    with pytest.raises(RuntimeError, match='space_without_a_file: expected a package with a folder of its own'):
        packages.get_installed_path('space_without_a_file')


def test_an_absent_package_can_be_imported_and_says_so_when_it_is_called() -> None:
    finder = packages.AbsentPackage('absent_toolbox', '`pip install toolbox`')
    sys.meta_path.append(finder)
    try:
        import absent_toolbox.parts as parts
        from absent_toolbox.parts.lines import Line

        for call in (Line, parts.anything):
            with pytest.raises(ImportError, match='absent_toolbox is not installed: `pip install toolbox`'):
                call(1, size=2)
        assert finder.find_spec('another_toolbox') is None
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.startswith('absent_toolbox')]:
            del sys.modules[name]


STOCK = {'mmengine': '0.10.7', 'mmcv-lite': '2.1.0', 'mmdet': '3.3.0'}
FORKS = {'onedl-mmengine': '0.10.12', 'onedl-mmcv': '2.3.6', 'onedl-mmdetection': '3.5.1'}


@pytest.mark.parametrize(
    ('installed', 'importable', 'problem', 'remedy'),
    [
        (STOCK, True, None, None),
        (FORKS, True, None, None),
        ({}, True, None, None),  # checkouts on PYTHONPATH
        (
            {**STOCK, 'mmcv': '2.1.0'},
            True,
            'mmcv and mmcv-lite are installed together',
            'uninstall -y mmcv mmcv-lite`',
        ),
        (
            {**FORKS, 'mmdet': '3.3.0'},
            True,
            'mmdet, onedl-mmcv, onedl-mmdetection and onedl-mmengine are installed together and overwrite each other',
            '-mmengine`, then `pip install -r requirements.txt` or `pip install --no-deps -r .ci/forks.txt`',
        ),
        ({'mmengine': '0.10.7'}, False, 'mmcv-lite or mmcv is not installed beside mmengine', '-r requirements.txt'),
        (
            {'onedl-mmengine': '1', 'onedl-mmcv': '2'},
            False,
            'onedl-mmdetection is not installed beside',
            '.ci/forks.txt',
        ),
        ({}, False, 'mmengine is not installed', '`pip install -r requirements.txt`'),
    ],
)
def test_families(
    monkeypatch: pytest.MonkeyPatch, installed: dict, importable: bool, problem: str | None, remedy: str | None
) -> None:
    monkeypatch.setattr(requirements, 'version_of', installed.get)
    monkeypatch.setattr(requirements, '_importable', lambda module: importable)
    found = requirements.check_family()
    if problem is None:
        assert found == []
        requirements.require_working_setup()
        return
    (entry,) = found
    assert problem in entry['problem'] and remedy in entry['remedy']
    with pytest.raises(ImportError) as error:
        requirements.require_working_setup()
    assert str(error.value) == f'{entry["problem"]}: {entry["remedy"]}'


@pytest.mark.parametrize('tool', ['train.py', 'doctor.py', 'data/validate.py'])
def test_an_older_python_gets_one_line(tool: str) -> None:
    """The version is that of Python itself, set before the tool starts."""
    code = (
        'import runpy, sys, platform\n'
        'sys.version_info, sys.version = (3, 9, 18, "final", 0), "3.9.18 (main)"\n'
        'platform.python_version = lambda: "3.9.18"\n'
        f'sys.argv = [{tool!r}, "--help"]\n'
        f'runpy.run_path({str(ROOT / "tools" / tool)!r}, run_name="__main__")\n'
    )
    env = {**os.environ, 'PYTHONPATH': str(ROOT)}
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, env=env)
    assert done.returncode == 1 and done.stdout == ''
    (line,) = done.stderr.splitlines()
    assert line.startswith('error: expected Python 3.10 or newer, got 3.9.18; make an environment with a newer')
