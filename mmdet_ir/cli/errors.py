"""A user's mistake ends a tool with one clear line; the traceback is kept in a file."""

import difflib
import os
import re
import select
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmengine.registry import Registry

SHOW_TRACEBACK = 'MMDET_IR_TRACEBACK'
UNREGISTERED = re.compile(r'(?P<type>\S+) is not in the (?P<registry>\S+) registry\. Please check')
# ValueError covers UnicodeDecodeError, json.JSONDecodeError and CheckpointError; OSError: no such file, no permission.
USER_MISTAKES = (ValueError, TypeError, OSError, ImportError)


def _family(registry: 'Registry') -> Iterator['Registry']:
    yield registry
    for child in registry.children.values():
        yield from _family(child)


def registered_names(registry: str) -> set[str]:
    """Names that may stand as ``type`` where ``registry`` (as in ``model`` or ``mmdet::model``) is asked.

    Where no registry of that name exists, the names of all registries are returned.
    """
    import mmengine.registry  # only where it is needed: it takes seconds

    kind = mmengine.registry.Registry
    roots = {value for value in vars(mmengine.registry).values() if isinstance(value, kind)}
    wanted = {root for root in roots if root.name == registry.rsplit('::', 1)[-1]} or roots
    return {name for root in wanted for member in _family(root) for name in member.module_dict}


def _explain_unregistered(name: str, registry: str) -> str:
    names = registered_names(registry)
    close = difflib.get_close_matches(name.rsplit('.', 1)[-1], names, n=3, cutoff=0.6)
    hint = f'did you mean {" or ".join(repr(match) for match in close)}?' if close else 'nothing has a similar name.'
    return (
        f'unknown type {name!r} in the config: the registry {registry!r} has no such entry; {hint} '
        "(A module of your own has to be listed in the config's custom_imports.)"
    )


def _innermost(error: Exception) -> str:
    """The message of an error, without the traceback text that a dataloader worker puts before it."""
    message = str(error)
    if 'Original Traceback (most recent call last)' in message:
        message = re.split(rf'\n(?:\w+\.)*{type(error).__name__}: ', message)[-1]
    return message.strip()


def explain(error: Exception) -> str | None:
    """Returns one line for a user's mistake, ``None`` for any other error (a fault of the program)."""
    if isinstance(error, KeyError):
        match = UNREGISTERED.search(str(error))
        return _explain_unregistered(match['type'].strip('\'"'), match['registry']) if match else None
    if type(error).__name__ == 'OutOfMemoryError':  # PyTorch's, which is not imported for it
        return (
            f'out of GPU memory: {_innermost(error).split(" If reserved but")[0]} Lower the batch size or the size of '
            'the images, end other programs on the GPU, or take --device cpu where the tool has it.'
        )
    return _innermost(error) if isinstance(error, USER_MISTAKES) else None


def _reader_is_gone() -> bool:
    """Whether the screen is a pipe whose reader has seen enough, as of ``... | head``."""
    screen = select.poll()
    screen.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in screen.poll(0))


def run_tool(main: Callable[[], object]) -> None:
    """Runs a tool; a user's mistake prints ``error: ...`` and exits with 2, other errors keep their traceback.

    Args:
        main: Parses the arguments and does the work. With ``MMDET_IR_TRACEBACK=1`` its errors are not touched.

    Example:
        >>> from mmdet_ir.cli import run_tool
        >>> run_tool(lambda: print('done'))
        done
    """
    if os.environ.get(SHOW_TRACEBACK) == '1':
        main()
        return
    try:
        main()
        sys.stdout.flush()
    except BrokenPipeError:
        if not _reader_is_gone():
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # (Python flushes once more at its end)
        sys.exit(141)  # what a shell tells of SIGPIPE
    except (KeyError, RuntimeError, *USER_MISTAKES) as error:
        message = explain(error)
        if message is None:
            raise
        with tempfile.NamedTemporaryFile('w', prefix='mmdet_ir_traceback_', suffix='.txt', delete=False) as file:
            traceback.print_exc(file=file)
        with suppress(OSError, ValueError):  # (a closed pipe)
            sys.stdout.flush()  # the error stands below what was printed before it
        sys.stderr.write(f'error: {message}\n(traceback: {file.name}; {SHOW_TRACEBACK}=1 prints it)\n')
        sys.exit(2)
