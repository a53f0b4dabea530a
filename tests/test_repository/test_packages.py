"""What the project imports is what it declares, pins, records and looks for."""

import ast
import configparser
import re
import sys
from importlib import metadata, util
from pathlib import Path

from mmdet_ir.engine import environment

import pytest
import torch

REPO = Path(__file__).parents[2]
# Modules whose distribution has another name.
NAMES = {'cv2': 'opencv-python', 'PIL': 'pillow', 'yaml': 'pyyaml', 'mmcv': 'mmcv-lite', 'skimage': 'scikit-image'}


def names(text: str) -> set[str]:
    return {name.lower() for name in re.findall(r'^[\w.-]+', text, flags=re.MULTILINE)}


@pytest.fixture(scope='module')
def declared() -> dict[str, set[str]]:
    settings = configparser.ConfigParser()
    settings.read(REPO / 'setup.cfg')
    extras = {name: names(text) for name, text in settings['options.extras_require'].items()}
    return {'': names(settings['options']['install_requires']), **extras}


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module)
    return {name.split('.')[0] for name in found} - set(sys.stdlib_module_names) - {'mmdet_ir'}


def test_every_import_is_declared(declared: dict[str, set[str]]) -> None:
    known = set().union(*(found for extra, found in declared.items() if extra not in ('test', 'docs')))
    for folder in ('mmdet_ir', 'tools'):
        for path in sorted((REPO / folder).rglob('*.py')):
            needed = {NAMES.get(name, name).replace('_', '-').lower() for name in imported(path)}
            assert needed <= known, f'{path.relative_to(REPO)} imports {needed - known}, not declared in setup.cfg'


@pytest.mark.parametrize('file', ['requirements.txt', '.ci/oldest.txt'])
def test_every_requirement_is_pinned(file: str, declared: dict[str, set[str]]) -> None:
    pinned = names((REPO / file).read_text())
    assert declared[''] | declared['stock'] <= pinned


def test_the_doctor_looks_for_every_requirement(declared: dict[str, set[str]]) -> None:
    spec = util.spec_from_file_location('doctor', REPO / 'tools' / 'doctor.py')
    doctor = util.module_from_spec(spec)
    spec.loader.exec_module(doctor)
    versions = {name.lower(): version for name, version in doctor.check_packages()[0].items()}
    for name in declared['']:
        if name != 'opencv-python':  # the headless one may stand for it
            assert versions[name] == metadata.version(name)


def test_the_record_of_a_run_has_every_requirement(declared: dict[str, set[str]]) -> None:
    versions = {name.lower(): version for name, version in environment.installed_versions().items()}
    installed = set(metadata.requires('mmdet_ir'))  # of the last installation, maybe of older requirements
    for name in declared[''] & names('\n'.join(installed)) - {'opencv-python'}:
        assert versions[name] == metadata.version(name)
    assert 'pytest' not in versions and 'ruff' not in versions


def test_a_run_without_an_installed_project_still_knows_its_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(environment.importlib.metadata, 'requires', missing)
    versions = environment.installed_versions()
    assert versions['torch'] == torch.__version__.split('+')[0] and {'mmengine', 'onedl-mmengine'} & set(versions)
