"""The built package serves in any folder: configs and tools are in it, and its configs can be inherited from."""

import ast
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import mmdet_ir  # noqa: F401

import pytest
from mmengine.config import Config

REPO = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel that was built from the source distribution, as installers do it."""
    out = tmp_path_factory.mktemp('wheel')
    source = out / 'source'
    listed = subprocess.run(['git', 'ls-files', '-z'], cwd=REPO, capture_output=True, check=True).stdout
    for name in filter(None, listed.decode().split('\0')):
        if (REPO / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((REPO / name).read_bytes())
    build = f'from setuptools import build_meta; build_meta.build_sdist({str(out)!r})'
    subprocess.run([sys.executable, '-c', build], cwd=source, capture_output=True, check=True)
    (archive,) = out.glob('*.tar.gz')
    command = [sys.executable, '-m', 'pip', 'wheel', '--no-build-isolation', '--no-deps', '-w', str(out), str(archive)]
    subprocess.run(command, capture_output=True, check=True)
    (built,) = out.glob('*.whl')
    return built


@pytest.mark.slow
def test_configs_are_inherited_in_any_folder(wheel: Path, tmp_path: Path) -> None:
    site, folder = tmp_path / 'site', tmp_path / 'folder'
    with zipfile.ZipFile(wheel) as content:
        content.extractall(site)
    folder.mkdir()
    (folder / 'mine.py').write_text("_base_ = 'mmdet_ir::ir/mask_rcnn_bnsa_focalsiou.py'\nwork_dir = 'here'\n")
    program = (
        'import mmdet_ir; from mmengine.config import Config; from mmdet.registry import MODELS; '
        "cfg = Config.fromfile('mine.py'); print(mmdet_ir.__file__); print(cfg.work_dir); "
        'print(cfg.model.neck.plugin.type, cfg.model.roi_head.bbox_head.loss_bbox.type); '
        'cfg.pop("work_dir"); print(repr(cfg.pretty_text)); '
        'from mmengine.registry import HOOKS, init_default_scope; init_default_scope(cfg.default_scope); '
        'print([type(HOOKS.build(hook)).__name__ for hook in cfg.custom_hooks], '
        'type(MODELS.build(cfg.model)).__name__)'
    )
    env = {**os.environ, 'PYTHONPATH': str(site)}
    done = subprocess.run([sys.executable, '-c', program], cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    place, work_dir, parts, text, built = done.stdout.splitlines()[-5:]
    own = Config.fromfile(REPO / 'configs' / 'ir' / 'mask_rcnn_bnsa_focalsiou.py')
    assert ast.literal_eval(text) == own.pretty_text
    assert built == "['NumClassCheckHook', 'EnvironmentHook'] MaskRCNN"
    assert Path(place).is_relative_to(site) and work_dir == 'here' and parts == 'BNSA FocalSIoULoss'
    tools = site / 'mmdet_ir' / '.mim' / 'tools'
    assert {path.name for path in tools.glob('*.py')} == {path.name for path in (REPO / 'tools').glob('*.py')}
