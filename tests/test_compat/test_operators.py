"""Where ``mmcv._ext`` comes from, and what it says about operators that it does not have."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from mmdet_ir import compat
from mmdet_ir.compat import mmcv_ext, operators

import mmcv
import mmcv.ops
import pytest
import torch
from mmcv.utils import ext_loader

COMPILED = importlib.util.find_spec('mmcv._ext').origin.endswith(('.so', '.pyd'))
needs_stand_in = pytest.mark.skipif(COMPILED, reason='a full mmcv is installed, so its own operators are used')


@needs_stand_in
def test_the_stand_in_is_a_module_like_any_other() -> None:
    spec = importlib.util.find_spec('mmcv._ext')
    assert spec.name == 'mmcv._ext'
    assert Path(spec.loader.get_filename()).name == 'mmcv_ext.py'
    assert sys.modules['mmcv._ext'].__spec__.origin == spec.origin
    assert ext_loader.check_ops_exist()
    assert compat.operator_backend() == 'torchvision'


@needs_stand_in
@pytest.mark.parametrize('name', ['box_iou_rotated', 'get_compiler_version'])
def test_an_operator_that_is_not_there_says_so_when_called(name: str) -> None:
    ext = ext_loader.load_ext('_ext', [name])
    with pytest.raises(NotImplementedError, match=f"'{name}' is not available.*replace mmcv-lite by a full mmcv"):
        getattr(ext, name)(torch.zeros(1, 5))


@needs_stand_in
def test_the_error_reaches_the_user_of_mmcv() -> None:
    boxes = torch.tensor([[5.0, 5, 4, 2, 0.3]])
    with pytest.raises(NotImplementedError, match="mmcv operator 'box_iou_rotated' is not available"):
        mmcv.ops.box_iou_rotated(boxes, boxes)


def test_private_names_are_not_invented() -> None:
    assert not hasattr(sys.modules['mmcv._ext'], '__wrapped__')


def test_apply_again_changes_nothing() -> None:
    finders, ext = list(sys.meta_path), sys.modules['mmcv._ext']
    compat.apply()
    assert sys.meta_path == finders
    assert sys.modules['mmcv._ext'] is ext


def test_a_compiled_operator_gets_features_in_the_order_that_it_takes_for_granted() -> None:
    given = []
    ext = SimpleNamespace(**dict.fromkeys(mmcv_ext.__all__, lambda *a, **k: given.append((*a, *k.values()))))
    operators.share_operators(ext)
    features = torch.empty(1, 4, 8, 8, device='meta').to(memory_format=torch.channels_last)
    assert not features.is_contiguous()
    ext.roi_align_forward(features, 'rois', output='output')
    ((first, *others),) = given
    assert first.is_contiguous() and first.shape == features.shape and others == ['rois', 'output']


def test_what_ours_lacks_is_done_by_the_compiled_operator_on_the_cpu_too() -> None:
    ext = SimpleNamespace(**dict.fromkeys(mmcv_ext.__all__, lambda *args: 'compiled'))
    operators.share_operators(ext)
    features, rois, output = torch.zeros(1, 1, 4, 4), torch.zeros(1, 5), torch.full((1, 1, 2, 2), 7.0)
    average, maximum = ((features, rois, output, None, None, 2, 2, 1.0, 1, mode, True) for mode in (1, 0))
    assert ext.roi_align_forward(*maximum) == 'compiled' and output.eq(7).all()
    assert ext.roi_align_forward(*average) is None and output.eq(0).all()


def run(code: str, **environment: str) -> str:
    env = {**os.environ, 'OMP_NUM_THREADS': '1', **environment}
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_operators_that_came_with_mmcv_are_used_but_on_the_cpu(tmp_path: Path) -> None:
    """An mmcv as the full package lays it out: the same files and an ``_ext`` of its own, whose NMS keeps box 1."""
    package = tmp_path / 'mmcv'
    package.mkdir()
    for entry in Path(mmcv.__file__).parent.iterdir():
        if not entry.name.startswith('_ext.'):
            (package / entry.name).symlink_to(entry)
    (package / '_ext.py').write_text(
        'import torch\n'
        'def nms(boxes, scores, iou_threshold, offset):\n'
        '    return torch.tensor([1])\n'
        'def __getattr__(name):\n'
        '    if name.startswith("_"):\n'
        '        raise AttributeError(name)\n'
        '    return lambda *args, **kwargs: None\n'
    )
    code = (
        'import mmdet_ir, sys, torch, mmcv.ops\n'
        'def kept(device):\n'
        '    boxes = torch.tensor([[0., 0, 1, 1], [5, 5, 6, 6]], device=device)\n'
        '    return mmcv.ops.nms(boxes, torch.tensor([.9, .8], device=device), 0.5)[1].tolist()\n'
        'print(sys.modules["mmcv._ext"].__file__, mmdet_ir.compat.operator_backend(), kept("cpu"), kept("meta"))\n'
    )
    path = os.pathsep.join((str(tmp_path), str(Path(compat.__file__).parents[2])))
    assert run(code, PYTHONPATH=path).split(maxsplit=2) == [str(package / '_ext.py'), 'mmcv', '[0, 1] [1]\n']


SPAWN = """
import sys
import mmdet_ir
import torch
from mmcv.ops import nms

def work(rank, folder):
    kept = nms(torch.tensor([[0., 0, 4, 4], [0, 0, 4, 4]]), torch.tensor([.5, .9]), 0.5)[1]
    with open(f'{folder}/{rank}', 'w') as file:
        file.write(f'{kept.tolist()}')

if __name__ == '__main__':
    torch.multiprocessing.spawn(work, args=(sys.argv[1],), nprocs=1)
"""


@pytest.mark.slow
def test_spawned_ranks_have_the_operators(tmp_path: Path) -> None:
    script = tmp_path / 'spawn.py'
    script.write_text(SPAWN)
    env = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(Path(compat.__file__).parents[2])}
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True, env=env)
    assert (tmp_path / '0').read_text() == '[1]'
