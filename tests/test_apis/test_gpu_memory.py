"""A GPU whose memory is used up, and one that is not there: a line with the numbers of the run."""

from mmdet_ir.apis.inference import devices
from mmdet_ir.apis.memory import OutOfGpuMemory, gpu_memory_errors
from mmdet_ir.cli.errors import explain

import pytest
import torch
from mmengine.config import Config

# As PyTorch words it.
FULL = (
    'CUDA out of memory. Tried to allocate 1.25 GiB. GPU 0 has a total capacity of 7.79 GiB of which 512.00 MiB is '
    'free. Process 4711 has 3.10 GiB memory in use. Including non-PyTorch memory, this process has 4.10 GiB memory in '
    'use. Of the allocated memory 3.90 GiB is allocated by PyTorch, and 50.00 MiB is reserved by PyTorch but '
    'unallocated. If reserved but unallocated memory is large try setting PYTORCH_ALLOC_CONF=expandable_segments:True '
    'to avoid fragmentation.  See documentation for Memory Management'
)


def config(batch: int) -> Config:
    steps = [{'type': 'LoadIRImageFromFile'}, {'type': 'Resize', 'scale': (640, 512)}]
    inner = {'type': 'RepeatDataset', 'times': 2, 'dataset': {'type': 'IRDataset', 'pipeline': steps}}
    return Config({'train_dataloader': {'batch_size': batch, 'dataset': inner}})


@pytest.mark.parametrize(
    ('batch', 'mixed', 'expected', 'absent'),
    [
        (8, False, ['train_dataloader.batch_size=8, images of 640x512, float32', 'batch_size=4; --amp'], ['with_cp']),
        (8, True, ['images of 640x512, mixed precision', 'train_dataloader.batch_size=4'], ['--amp']),
        (1, True, ['batch_size=1', 'with_cp=True'], ['batch_size=0', '--amp']),
    ],
)
def test_the_line_has_the_numbers_of_this_run(batch: int, mixed: bool, expected: list[str], absent: list[str]) -> None:
    with pytest.raises(OutOfGpuMemory) as error, gpu_memory_errors(config(batch), 'train', mixed):
        raise torch.OutOfMemoryError(FULL)
    line = explain(error.value)
    for text in ('out of GPU memory', 'a total capacity of 7.79 GiB', 'which hold 3.10 GiB', *expected):
        assert text in line
    for text in ('fragmentation', '\n', *absent):
        assert text not in line


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match='another'), gpu_memory_errors(config(2), 'train'):
        raise RuntimeError('another')
    assert explain(RuntimeError('another')) is None


def test_any_tool_ends_with_a_line() -> None:
    line = explain(torch.OutOfMemoryError(FULL))
    assert line.startswith('out of GPU memory: CUDA out of memory. Tried to allocate 1.25 GiB. GPU 0 has')
    assert 'Lower the batch size' in line and 'fragmentation' not in line


@pytest.mark.parametrize(
    ('built_for', 'gpus', 'expected'),
    [
        ('13.0', 0, 'expected cpu, since torch .*, built for CUDA 13.0, finds no NVIDIA driver or no GPU, got'),
        (None, 0, 'expected cpu, since torch .* was built without CUDA, got'),
        ('13.0', 2, 'expected one of 2 GPUs, from cuda:0 on, or cpu, got'),
    ],
)
def test_a_gpu_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, built_for: str | None, gpus: int, expected: str
) -> None:
    monkeypatch.setattr(torch.version, 'cuda', built_for)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: gpus)
    with pytest.raises(ValueError, match=f"device: {expected} 'cuda:2'"):
        devices.usable_device('cuda:2')
