"""--batch-size auto takes the largest batch that the memory of the GPU holds; a CPU keeps that of the base."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from mmdet_ir.apis.new_config import batch as module
from mmdet_ir.apis.new_config import new_config

import pytest
import torch
from mmengine.config import Config

LIKE = Path(__file__).parents[3] / 'configs' / 'ir' / 'mask_rcnn.py'  # SGD, 0.001 for a batch of 2
GIB = 2**30


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A GPU that is pretended: its free memory, and what a step takes (all in GiB)."""

    def pretend(free: float, fixed: float, each: float) -> None:
        def takes(settings: object, batch: int, device: str) -> int | None:
            bytes_ = int((fixed + each * batch) * GIB)
            return bytes_ if bytes_ <= free * GIB else None

        monkeypatch.setattr(module, 'get_device', lambda: 'cuda')
        monkeypatch.setattr(torch.cuda, 'mem_get_info', lambda: (int(free * GIB), int(free * GIB)))
        monkeypatch.setattr(torch.cuda, 'get_device_name', lambda: 'a GPU')
        monkeypatch.setattr(module, 'training_memory', takes)

    return pretend


@pytest.mark.parametrize('batch', [1, 2, 4, 6])
@pytest.mark.parametrize(('fixed', 'each'), [(0, 1), (1, 0.5), (3, 2), (0.2, 0.01)])
@pytest.mark.parametrize(('free', 'images'), [(4, 1000), (24, 1000), (24, 60), (140, 6)])
def test_no_larger_batch_fits(batch: int, fixed: float, each: float, free: float, images: int) -> None:
    sizes = [batch * 2**k for k in range(6)]
    fits = [size for size in sizes if fixed + each * size <= 0.8 * free and size <= min(16, images // 8)]
    halves = [size for size in (batch, batch // 2, batch // 4) if size and fixed + each * size <= 0.8 * free]
    expected = max([*fits, max(halves, default=1)])
    one, two = (int((fixed + each * size) * GIB) for size in (batch, 2 * batch))
    assert module.largest_batch(batch, one, two, free * GIB, images) == expected


def test_the_config_gets_the_batch_and_its_rate(
    data: Path, tmp_path: Path, gpu: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, 'largest_batch', lambda batch, *others: 4 * batch)  # (six images keep the base's)
    gpu(free=24, fixed=1, each=2)
    written = new_config(data / 'grey', tmp_path / 'mine.py', LIKE, batch_size='auto')
    cfg = Config.fromfile(written.path)
    assert cfg.train_dataloader.batch_size == 8 and cfg.optim_wrapper.optimizer.lr == pytest.approx(0.004)
    assert any('5.00 GiB' in note and '9.00 of 24.0 GiB' in note for note in written.notes)


def test_a_small_gpu_halves_the_batch(data: Path, tmp_path: Path, gpu: Callable) -> None:
    gpu(free=2.5, fixed=1, each=1)
    cfg = Config.fromfile(new_config(data / 'grey', tmp_path / 'mine.py', LIKE, batch_size='auto').path)
    assert cfg.train_dataloader.batch_size == 1 and cfg.optim_wrapper.optimizer.lr == pytest.approx(0.0005)
    gpu(free=1, fixed=1, each=1)
    with pytest.raises(ValueError, match='a training step of one image, got a GPU with 1.0 GiB free'):
        new_config(data / 'grey', tmp_path / 'none.py', LIKE, batch_size='auto')
    assert not (tmp_path / 'none.py').exists()


def test_a_cpu_keeps_the_batch(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, 'get_device', lambda: 'cpu')
    written = new_config(data / 'grey', tmp_path / 'mine.py', LIKE, batch_size='auto')
    cfg = Config.fromfile(written.path)
    assert cfg.train_dataloader.batch_size == 2 and cfg.optim_wrapper.optimizer.lr == pytest.approx(0.001)
    assert any('The batch stays 2' in note for note in written.notes)


@pytest.mark.parametrize('like', ['mask_rcnn_real', 'condinst_real'])
def test_the_steps_that_are_measured_run(data: Path, tmp_path: Path, like: str) -> None:
    base = LIKE.parents[1] / 'quickstart' / f'{like}.py'
    written = new_config(data / 'grey', tmp_path / 'mine.py', base)
    assert module.training_memory(Config.fromfile(written.path)._cfg_dict, 2, 'cpu') == 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_a_gpu_takes_more_memory_for_more_images(data: Path, tmp_path: Path) -> None:
    written = new_config(data / 'grey', tmp_path / 'mine.py', LIKE, batch_size='auto')
    settings = Config.fromfile(written.path)._cfg_dict
    one, two = (module.training_memory(settings, batch, 'cuda') for batch in (1, 2))
    assert 0 < one < two < torch.cuda.mem_get_info()[1]


@pytest.mark.parametrize('given', ['0', '-2', 'all', '1.5'])
def test_a_batch_that_is_none_is_one_line(tmp_path: Path, given: str) -> None:
    tool = LIKE.parents[2] / 'tools' / 'data' / 'new_config.py'
    command = [sys.executable, tool, tmp_path, '--out', tmp_path / 'mine.py', f'--batch-size={given}']
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert f'argument --batch-size: expected a number of images from 1 on, or auto, got {given!r}' in done.stderr
