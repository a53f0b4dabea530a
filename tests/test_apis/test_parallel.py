"""Reading ahead and writing behind: order, errors, and how far ahead."""

import threading
import time
from collections.abc import Iterator

import mmdet_ir  # noqa: F401
from mmdet_ir.apis.inference.parallel import WriteBehind, read_ahead

import pytest


def test_items_come_in_order_and_not_farther_ahead_than_asked() -> None:
    made = []

    def items() -> Iterator[int]:
        for i in range(10):
            made.append(i)
            yield i

    got = []
    for item in read_ahead(items(), 2):
        time.sleep(0.01)
        assert len(made) <= item + 3
        got.append(item)
    assert got == list(range(10))


def test_errors_of_reading_arrive_after_what_was_read() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError('disk')

    got = []
    with pytest.raises(OSError, match='disk'):
        for item in read_ahead(items()):
            got.append(item)
    assert got == [1]


def test_reading_and_writing_take_the_time_of_one() -> None:
    def items() -> Iterator[int]:
        for i in range(8):
            time.sleep(0.05)
            yield i

    start = time.monotonic()
    with WriteBehind() as writing:
        for _ in read_ahead(items()):
            writing.call(time.sleep, 0.05)
            time.sleep(0.05)
    assert time.monotonic() - start < 0.9  # one after the other: 1.2


def test_calls_are_made_in_order_and_all_are_done_at_the_end() -> None:
    done, gate = [], threading.Event()
    with WriteBehind(behind=3) as writing:
        writing.call(gate.wait)
        for i in range(2):
            writing.call(done.append, i)
        assert not done
        gate.set()
    assert done == [0, 1]


def test_with_none_behind_each_call_is_waited_for() -> None:
    done: list[int] = []
    with WriteBehind(0) as writing:
        for number in range(3):
            writing.call(lambda number: (time.sleep(0.05), done.append(number)), number)
            assert done == list(range(number + 1))


def test_the_first_error_of_a_call_is_raised_and_the_rest_is_left() -> None:
    done = []

    def fail() -> None:
        raise OSError('full')

    with pytest.raises(OSError, match='full'), WriteBehind() as writing:
        writing.call(fail)
        for i in range(5):
            time.sleep(0.02)
            writing.call(done.append, i)
    assert len(done) < 5
    with pytest.raises(ValueError, match='mine'), WriteBehind() as writing:
        writing.call(fail)
        raise ValueError('mine')
