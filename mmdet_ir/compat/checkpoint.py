"""Checkpoints load and resume under ``weights_only=True``, through an allow-list of plain data types.

Sources: https://docs.pytorch.org/docs/stable/notes/serialization.html and the pickles that mmengine 0.10.7 writes.
"""

import contextlib
import errno
import functools
import os
import pickle
import re
import struct
import zipfile
from collections.abc import Callable, Iterator

import mmengine.runner.checkpoint
import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler
from mmengine.runner.checkpoint import CheckpointLoader

FORCE_SAFE = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'
FORCE_UNSAFE = 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'
SAFETENSORS = '.safetensors'
STATISTICS = ('min', 'max', 'current', 'mean')
OLD_FORMAT = b'\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.'  # the pickled magic number of torch before 1.6
GLOBAL_IN_MESSAGE = re.compile(
    r'GLOBAL (\S+) (?:was not an allowed global|whose module)|call reduce for unrecognized function (.+)'
)


_CARRY_CODE = ('TorchScript archive', '.tar format')  # in torch's messages about files that are no plain checkpoints
# What a damaged pickle raises, whatever it is that went wrong in it.
_DAMAGE = (
    LookupError,
    TypeError,
    AttributeError,
    ValueError,
    AssertionError,
    ArithmeticError,
    MemoryError,
    struct.error,
)


class CheckpointError(ValueError):
    """A checkpoint that is refused or cannot be read; the message names the file and the reason."""


def _history_statistic(owner: type, name: str) -> Callable:
    """Stands for ``getattr`` in a pickle, where a HistoryBuffer names its statistics by it; serves nothing else."""
    if owner is not HistoryBuffer or name not in STATISTICS:
        raise pickle.UnpicklingError(f'GLOBAL builtins.getattr was not an allowed global for {owner!r}, {name!r}')
    return getattr(HistoryBuffer, name)


def allow_checkpoint_types() -> None:
    """Allows the plain data in mmengine's checkpoints: message hub, numpy arrays and scalars, old names and new."""
    reconstruct, scalar = np.zeros(0).__reduce__()[0], np.float64(0).__reduce__()[0]
    allowed = [HistoryBuffer, np.ndarray, np.dtype, (_history_statistic, 'builtins.getattr')]
    allowed += [type(np.dtype(code)) for code in '?bhilqBHILQefdgFDGSU']
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        allowed += [(reconstruct, f'{module}._reconstruct'), (scalar, f'{module}.scalar')]
    torch.serialization.add_safe_globals(allowed)


@contextlib.contextmanager
def _weights_only() -> Iterator[None]:
    """Makes every ``torch.load`` inside use ``weights_only=True``.

    torch.hub passes ``weights_only=False`` for files from a URL, and an environment variable of torch can turn the
    default off; both are overruled here.
    """
    before = {name: os.environ.pop(name, None) for name in (FORCE_SAFE, FORCE_UNSAFE)}
    os.environ[FORCE_SAFE] = '1'
    try:
        yield
    finally:
        del os.environ[FORCE_SAFE]
        os.environ.update({name: value for name, value in before.items() if value is not None})


def _refusal(filename: str, message: str) -> str:
    match = GLOBAL_IN_MESSAGE.search(message)
    kind = next((kind for kind in _CARRY_CODE if kind in message), None)
    if kind is not None:
        return f'{filename}: refused: expected a checkpoint of plain data, got a {kind}, which can carry code'
    if match is None:
        return f'{filename}: not a readable PyTorch checkpoint ({message.strip().splitlines()[-1].strip()})'
    name = match[1] or match[2]
    return (
        f'{filename}: refused, because loading it would run {name!r}, which is not plain data: a checkpoint can carry '
        'code, so only tensors, numbers, text, numpy arrays and mmengine log buffers load (weights_only=True). '
        "Get a file that holds only these, e.g. its 'state_dict' alone. If this is a harmless data type of your own, "
        'allow it with torch.serialization.add_safe_globals in a module that your config lists in custom_imports.'
    )


def _plain_load(file: object, map_location: object = None, weights_only: bool | None = None) -> dict:
    return torch.load(file, map_location=map_location, weights_only=True)


def replace_unsafe_fallback() -> None:
    """Takes away the forked mmengine's way to load a file that was refused.

    It allows ``getattr`` while it loads, takes our own types from the allow-list afterwards, and loads with
    ``weights_only=False`` what was refused then.
    """
    if hasattr(mmengine.runner.checkpoint, '_safe_torch_load'):
        mmengine.runner.checkpoint._safe_torch_load = _plain_load


def guard_checkpoint_loading() -> None:
    """Puts ``load_from``, ``resume`` and ``load_checkpoint`` of mmengine under ``weights_only=True``, for any URL."""
    replace_unsafe_fallback()
    stock = CheckpointLoader.load_checkpoint

    @functools.wraps(stock.__func__)
    def load_checkpoint(cls: type, filename: str, *args: object, **kwargs: object) -> dict:
        try:
            if '://' not in str(filename) and str(filename).endswith(SAFETENSORS):
                return _read_safetensors(filename)
            _check_archive(filename)
            with _weights_only():
                content = stock(filename, *args, **kwargs)
            _check_content(filename, content)
            return content
        except CheckpointError:
            raise
        except (pickle.UnpicklingError, EOFError, zipfile.BadZipFile) as error:
            raise CheckpointError(_refusal(filename, str(error) or 'it is empty')) from None
        except OSError as error:
            if error.errno != errno.EINVAL:  # what torch's reader raises for a cut-off file; others are the system's
                raise
            raise CheckpointError(_refusal(filename, str(error))) from None
        except (RuntimeError, *_DAMAGE) as error:
            raise CheckpointError(_refusal(filename, f'{type(error).__name__}: {error}')) from None

    CheckpointLoader.load_checkpoint = classmethod(load_checkpoint)


def _read_safetensors(filename: str) -> dict:
    """The tensors of a file in the format of Hugging Face, as the weights of a checkpoint that names no classes."""
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError:
        raise CheckpointError(
            f'{filename}: reading weights in the format safetensors needs the package of this name: '
            f'pip install safetensors'
        ) from None
    try:
        return {'state_dict': load_file(filename)}
    except SafetensorError as error:
        raise CheckpointError(f'{filename}: expected weights in the format safetensors, got {error}') from None


def _check_archive(filename: str) -> None:
    """Refuses a local file that is compressed: torch never compresses, and a small file could fill the memory."""
    if not zipfile.is_zipfile(filename):
        return
    with zipfile.ZipFile(filename) as archive:
        entries = archive.infolist()
    if any(entry.filename.endswith('/constants.pkl') for entry in entries):
        raise CheckpointError(_refusal(filename, _CARRY_CODE[0]))
    packed = next((entry.filename for entry in entries if entry.compress_type != zipfile.ZIP_STORED), None)
    unpacked, size = sum(entry.file_size for entry in entries), os.path.getsize(filename)
    if packed is not None or unpacked > size:
        raise CheckpointError(
            f'{filename}: refused, because it is compressed or its parts overlap, as torch never writes it '
            f'({unpacked} bytes in a file of {size})'
        )


def _check_content(filename: str, content: object) -> None:
    """Refuses numpy arrays whose type was made up of objects: reading one would follow any address in it."""
    if not isinstance(content, dict):
        raise CheckpointError(f'{filename}: expected a dictionary, got a {type(content).__name__}')
    seen, todo = set(), [content]
    while todo:
        value = todo.pop()
        if id(value) in seen or isinstance(value, torch.Tensor | str | bytes | int | float):
            continue
        seen.add(id(value))
        if isinstance(value, np.ndarray | np.generic):
            dtype = value.dtype
            if dtype.kind not in 'biufcSU' or dtype.names is not None or dtype.subdtype is not None or dtype.hasobject:
                raise CheckpointError(
                    f'{filename}: refused, because it holds a numpy array that is not of numbers or text'
                )
        elif isinstance(value, dict):
            todo += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple | set | frozenset):
            todo += value
        else:
            todo += vars(value).values() if hasattr(value, '__dict__') else ()


def _weights_alone(path: str) -> str:
    return f'{path}: holds weights alone, which no training can go on from; start with load_from={path}'


def read_header(path: str | os.PathLike) -> dict:
    """Checks that a checkpoint file is whole, and reads what is not tensors; tensors stay on the disk.

    Every byte is compared with the checksums that torch wrote. Files of torch before 1.6 have none and are loaded.

    Returns:
        ``meta``, and the names of all entries in ``keys``.

    Raises:
        CheckpointError: If the file is cut off, damaged, refused or no checkpoint.
        FileNotFoundError: If there is none.
    """
    path = str(path)
    if path.endswith(SAFETENSORS) and os.path.isfile(path):
        raise CheckpointError(_weights_alone(path))
    try:
        zipped = zipfile.is_zipfile(path)
        if not zipped:
            with open(path, 'rb') as file:
                if file.read(len(OLD_FORMAT)) != OLD_FORMAT:
                    raise CheckpointError(_refusal(path, 'it is cut off, or something else'))
        else:
            _check_archive(path)
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()
            if damaged is not None:
                raise CheckpointError(_refusal(path, f'the checksum of {damaged} is wrong'))
        with _weights_only():
            content = torch.load(path, map_location='cpu', weights_only=True, mmap=zipped)
        _check_content(path, content)
        if 'meta' not in content:
            raise CheckpointError(_weights_alone(path))
        return {'meta': dict(content['meta']), 'keys': tuple(content)}
    except FileNotFoundError:
        raise
    except (pickle.UnpicklingError, EOFError, OSError, RuntimeError, zipfile.BadZipFile) as error:
        raise CheckpointError(_refusal(path, str(error) or 'it is empty')) from None
    except _DAMAGE as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(_refusal(path, f'{type(error).__name__}: {error}')) from None


def keep_scheduler_states_plain() -> None:
    """Leaves the annealing method out of OneCycleLR's state, which mmengine pickles with its whole owner.

    The scheduler that resumes has the same method from its own settings.
    """
    stock = OneCycleParamScheduler.state_dict

    @functools.wraps(stock)
    def state_dict(self: OneCycleParamScheduler) -> dict:
        return {key: value for key, value in stock(self).items() if key != 'anneal_func'}

    OneCycleParamScheduler.state_dict = state_dict
