"""Files that run a command when they are unpickled without care, and files that are made to fill the memory."""

import io
import os
import pickle
import zipfile
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch


class Call:
    """Unpickles as the result of ``function(*arguments)``."""

    def __init__(self, function: Callable, *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple:
        return self.function, self.arguments


def touch(marker: Path) -> Call:
    return Call(os.system, f'touch {marker}')


def forms(marker: Path) -> dict[str, object]:
    """The payload by itself and hidden in what checkpoints hold; each creates the marker when it is unpickled."""
    bad = touch(marker)
    return {
        'plain': bad,
        'nested': {'state_dict': OrderedDict(w=torch.zeros(1)), 'meta': {'a': [1, {'b': (2, [bad])}]}},
        'as a key': {'state_dict': OrderedDict(), 'meta': {('x', bad): 1}},
        'eval': Call(eval, f'__import__("os").system("touch {marker}")'),
        'argument of collections': Call(defaultdict, Call(eval, f'__import__("os").system("touch {marker}") or int')),
        'argument of torch._utils': Call(torch._utils._rebuild_parameter, bad, True, OrderedDict()),
        'array of objects': {'state_dict': OrderedDict(), 'meta': np.array([bad], object)},
        'numpy frombuffer': Call(np.frombuffer, Call(exec, f'import os; os.system("touch {marker}")') and bad),
    }


def as_zip(content: object) -> bytes:
    """Checkpoint in torch's format."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def as_legacy(content: object) -> bytes:
    """Checkpoint in the format of torch before 1.6."""
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


CONTAINERS = {'zip': as_zip, 'legacy': as_legacy, 'bare pickle': pickle.dumps}


def rewrite_zip(content: bytes, change: Callable[[str, bytes], bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip file with other contents under the same names."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(out, 'w', compression) as target:
        for entry in source.infolist():
            target.writestr(entry.filename, change(entry.filename, source.read(entry.filename)))
    return out.getvalue()
