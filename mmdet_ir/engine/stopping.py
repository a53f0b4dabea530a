"""A request to stop that arrives as a signal, as a scheduler sends it before it takes a machine away."""

import os
import signal
import threading
from types import FrameType, TracebackType

EX_TEMPFAIL = 75  # of sysexits.h: not done, try again; no error of Python or of this project has it
SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class TrainingStopped(Exception):
    """The training was asked to stop, and did; a tool ends with ``EX_TEMPFAIL`` then."""


class StopRequest:
    """Notes SIGTERM and SIGUSR1 while it is entered, instead of ending the process.

    Processes that are forked meanwhile, such as loader workers, let these signals pass: a scheduler sends them to
    every process of a job, and the training needs its workers until it has come to the next boundary. SIGTERM ends
    them if their parent sends it, as torch does with a worker that hangs. (Where Python cannot tell who sent a signal,
    on macOS, torch's own handler ends a worker at each.)

    Attributes:
        signal: The first one that arrived, or ``None``.
        entered: How many requests of this process are entered.
    """

    entered = 0

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._before: dict = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() == self._pid and self.signal is None:
            self.signal = signal.Signals(number)

    def __enter__(self) -> 'StopRequest':
        self._pid = os.getpid()
        if threading.current_thread() is threading.main_thread():  # Python lets no other thread do this
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        StopRequest.entered += 1
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        StopRequest.entered -= 1
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _heed_the_parent_only() -> None:
    """In a forked process: SIGTERM is taken by a thread of its own, which sees the sender, as no handler does."""
    if StopRequest.entered and hasattr(signal, 'sigwaitinfo'):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_when_the_parent_says, args=(os.getppid(),), daemon=True).start()


def _end_when_the_parent_says(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_heed_the_parent_only)
