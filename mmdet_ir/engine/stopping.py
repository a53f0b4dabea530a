"""A request to stop that arrives as a signal: of a scheduler that takes a machine away, or Ctrl-C at a terminal."""

import os
import signal
import sys
import threading
import time
from types import FrameType, TracebackType

EX_TEMPFAIL = 75  # of sysexits.h: not done, try again; no error of Python or of this project has it
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
# Within these seconds a further Ctrl-C is the same press: a terminal sends it to each process, and torchrun again.
SAME_PRESS = 1.0


class TrainingStopped(Exception):
    """The training was asked to stop, and a checkpoint is on the disk; a tool ends with ``EX_TEMPFAIL`` then.

    Example:
        >>> from mmdet_ir.engine import EX_TEMPFAIL, TrainingStopped
        >>> try:
        ...     raise TrainingStopped('checkpoint saved')
        ... except TrainingStopped as stopped:
        ...     print(f'{stopped}; exit code {EX_TEMPFAIL}')
        checkpoint saved; exit code 75
    """


class StopRequest:
    """Notes SIGTERM, SIGUSR1 and the first Ctrl-C while it is entered, instead of ending the process.

    A second Ctrl-C ends the process at once, and where nobody attends to the request every signal does what it does to
    any program. SIGINT stays ignored where the process was started so, as shells do in the background.

    Processes that are forked meanwhile, such as loader workers, let these signals pass: a scheduler sends them to
    every process of a job, and the training needs its workers until it has come to the next boundary. SIGTERM ends
    them if their parent sends it, as torch does with a worker that hangs. (Where Python cannot tell who sent a signal,
    on macOS, torch's own handler ends a worker at each.)

    Attributes:
        signal: The first one that arrived, or ``None``.
        entered: How many requests of this process are entered.

    Example:
        >>> import os, signal
        >>> from mmdet_ir.engine import StopRequest
        >>> with StopRequest() as stop:
        ...     os.kill(os.getpid(), signal.SIGUSR1)
        >>> stop.signal.name
        'SIGUSR1'
    """

    entered = 0

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._attended, self._since = True, 0.0
        self._before: dict = {}

    def attend(self, attended: bool) -> None:
        """Tells whether somebody will act on a signal. If not, one that arrived already ends the process."""
        self._attended = attended
        if not attended and self.signal is not None:
            self._end(self.signal)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid:
            return
        if self.signal is None and self._attended:
            self.signal, self._since = signal.Signals(number), time.monotonic()
            if number == signal.SIGINT and os.environ.get('LOCAL_RANK', '0') == '0':
                # (os.write, since the handler may have interrupted a write to sys.stderr)
                os.write(2, b'\nStopping: this step is finished and saved. Press Ctrl-C again to end at once.\n')
        elif not self._attended or (number == signal.SIGINT and time.monotonic() - self._since > SAME_PRESS):
            self._end(number)

    def _end(self, number: int) -> None:
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.stderr.flush()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def __enter__(self) -> 'StopRequest':
        self._pid = os.getpid()
        if threading.current_thread() is threading.main_thread():  # Python lets no other thread do this
            taken = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
            self._before = {number: signal.signal(number, self._note) for number in taken}
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
