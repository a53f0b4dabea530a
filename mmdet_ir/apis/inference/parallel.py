"""Reading ahead and writing behind, so that a model does not wait for files."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar('T')
_END = object()


def read_ahead(items: Iterator[T], ahead: int = 2) -> Iterator[T]:
    """The items of an iterator, which runs in a thread, some items ahead.

    Args:
        items: Its errors are raised here.
        ahead: How many items may wait.

    Example:
        >>> from mmdet_ir.apis.inference.parallel import read_ahead
        >>> list(read_ahead(iter('abc')))
        ['a', 'b', 'c']
    """
    with ThreadPoolExecutor(1, 'reading') as pool:
        waiting = deque(pool.submit(next, items, _END) for _ in range(ahead))
        try:
            while (item := waiting.popleft().result()) is not _END:
                waiting.append(pool.submit(next, items, _END))
                yield item
        finally:
            for future in waiting:
                future.cancel()


class WriteBehind:
    """Runs calls one after the other in a thread; when too many wait, a new call waits, too.

    It is a context: at its end all calls are done. The error of a call is raised by the next one, or at the end; calls
    after a failed one are not made.

    Args:
        behind: How many calls may wait; with 0, each call is waited for.

    Example:
        >>> from mmdet_ir.apis.inference.parallel import WriteBehind
        >>> written = []
        >>> with WriteBehind() as writing:
        ...     writing.call(written.append, 1)
        >>> written
        [1]
    """

    def __init__(self, behind: int = 2) -> None:
        self.behind = behind
        self._waiting: deque[Future] = deque()
        self._pool = ThreadPoolExecutor(1, 'writing')

    def call(self, function: Callable, *args: object) -> None:
        """Has the thread call a function, after what was given before."""
        self._waiting.append(self._pool.submit(function, *args))
        while len(self._waiting) > self.behind:
            self._settle()

    def _settle(self) -> None:
        try:
            self._waiting.popleft().result()
        except BaseException:
            for future in self._waiting:
                future.cancel()
            self._waiting.clear()
            raise

    def __enter__(self) -> 'WriteBehind':
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        try:
            while self._waiting:
                try:
                    self._settle()
                except Exception:
                    if kind is None:  # (else the first error is the one to see)
                        raise
        finally:
            self._pool.shutdown()
