"""Signals find their stack after exported models are gone."""

import ctypes
import gc
from pathlib import Path

from mmdet_ir.deploy.backends import _load_openvino

import numpy as np
import pytest


class Stack(ctypes.Structure):
    """``stack_t`` of Linux."""

    _fields_ = (('address', ctypes.c_void_p), ('flags', ctypes.c_int), ('size', ctypes.c_size_t))


def signal_stack() -> int | None:
    """Address of the stack that signals of this thread are handled on; ``None`` for the thread's own."""
    stack = Stack()
    assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack)) == 0
    return stack.address


def is_mapped(address: int) -> bool:
    ranges = (line.split(maxsplit=1)[0].split('-') for line in Path('/proc/self/maps').read_text().splitlines())
    return any(int(first, 16) <= address < int(last, 16) for first, last in ranges)


@pytest.mark.skipif(not Path('/proc/self/maps').exists(), reason='reads the memory map of Linux')
def test_models_that_go_leave_a_stack_for_signals(tmp_path: Path) -> None:
    """The first one that came goes first: OpenVINO then kept the address of memory that it had given back."""
    openvino = pytest.importorskip('openvino')
    opset = pytest.importorskip('openvino.opset13')
    given = opset.parameter([1, 3], np.float32)
    openvino.save_model(openvino.Model([opset.relu(given)], [given], 'small'), tmp_path / 'small.xml')
    first, second = (_load_openvino(tmp_path / 'small.xml', 1, ('cpu', 0)) for _ in range(2))
    del first
    gc.collect()
    del second
    gc.collect()
    address = signal_stack()
    assert address is None or is_mapped(address)
