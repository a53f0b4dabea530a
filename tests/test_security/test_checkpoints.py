"""No checkpoint runs code, whatever it is hidden in, and whatever the file is, the error names it."""

import contextlib
import io
import random
import zipfile
from pathlib import Path

from mmdet_ir.compat.checkpoint import CheckpointError, read_header

import numpy as np
import pytest
import torch
from mmengine.runner import CheckpointLoader
from payloads import CONTAINERS, Call, as_legacy, as_zip, forms, rewrite_zip

FORMS = tuple(forms(Path()))
READERS = {'load': CheckpointLoader.load_checkpoint, 'read_header': read_header}


def write(folder: Path, content: bytes) -> tuple[Path, Path]:
    path = folder / 'stranger.pth'
    path.write_bytes(content)
    return path, folder / 'owned'


@pytest.mark.parametrize('form', FORMS)
def test_every_payload_works_where_nothing_guards(tmp_path: Path, form: str) -> None:
    """Else the tests below would prove nothing."""
    path, marker = write(tmp_path, as_zip(forms(tmp_path / 'owned')[form]))
    # (what the command returned may be no argument for what comes next)
    with contextlib.suppress(TypeError, AttributeError, ValueError):
        torch.load(path, weights_only=False)
    assert marker.exists()


@pytest.mark.parametrize('reader', READERS)
@pytest.mark.parametrize('container', CONTAINERS)
@pytest.mark.parametrize('form', FORMS)
def test_no_payload_runs(
    tmp_path: Path, form: str, container: str, reader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')  # not even where torch is told to let it
    path, marker = write(tmp_path, CONTAINERS[container](forms(tmp_path / 'owned')[form]))
    with pytest.raises(CheckpointError, match='stranger.pth'):
        READERS[reader](str(path))
    assert not marker.exists()


def test_torchscript_is_refused_without_the_advice_to_switch_the_guard_off(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Identity()), buffer)
    path, _ = write(tmp_path, buffer.getvalue())
    with pytest.raises(CheckpointError, match='stranger.pth: refused.*TorchScript') as error:
        CheckpointLoader.load_checkpoint(str(path))
    assert 'weights_only' not in str(error.value)


def bomb() -> bytes:
    """A tensor of 64 MB in a file of 0.1 MB."""

    def swell(name: str, content: bytes) -> bytes:
        return b'\0' * (64 << 20) if name.endswith('data/0') else content

    return rewrite_zip(as_zip({'state_dict': {'w': torch.zeros(16)}}), swell, zipfile.ZIP_DEFLATED)


@pytest.mark.parametrize('reader', READERS)
def test_a_compressed_checkpoint_is_refused(tmp_path: Path, reader: str) -> None:
    path, _ = write(tmp_path, bomb())
    with pytest.raises(CheckpointError, match='stranger.pth: refused, because it is compressed'):
        READERS[reader](str(path))


class Forged:
    """Unpickles as an array whose bytes would be taken for addresses of objects."""

    def __reduce__(self) -> tuple:
        reconstruct = np.zeros(0).__reduce__()[0]
        return reconstruct, (np.ndarray, (0,), b'b'), (1, (1,), ForgedType(), False, b'A' * 16)


class ForgedType:
    def __reduce__(self) -> tuple:
        state = (3, '<', None, ('a',), {'a': (Call(np.dtype, 'O'), 0)}, 16, 4, 0)
        return np.dtype, ('U4', False, True), state


def test_an_array_of_forged_addresses_is_refused(tmp_path: Path) -> None:
    path, _ = write(tmp_path, as_zip({'state_dict': {}, 'meta': {'scores': [Forged()]}}))
    with pytest.raises(CheckpointError, match='stranger.pth: refused, because it holds a numpy array'):
        CheckpointLoader.load_checkpoint(str(path))


def test_an_array_that_asks_for_a_terabyte_is_refused(tmp_path: Path) -> None:
    reconstruct = np.zeros(0).__reduce__()[0]
    path, _ = write(tmp_path, as_zip({'state_dict': {}, 'meta': Call(reconstruct, np.ndarray, (10**15,), b'b')}))
    with pytest.raises(CheckpointError, match='stranger.pth: not a readable PyTorch checkpoint'):
        CheckpointLoader.load_checkpoint(str(path))


def test_a_file_that_holds_no_dictionary_is_refused(tmp_path: Path) -> None:
    path, _ = write(tmp_path, as_zip([torch.zeros(1)]))
    with pytest.raises(CheckpointError, match='stranger.pth: expected a dictionary, got a list'):
        CheckpointLoader.load_checkpoint(str(path))


@pytest.mark.parametrize('legacy', [False, True])
def test_damaged_pickles_load_or_are_refused_by_name(tmp_path: Path, legacy: bool) -> None:
    """Single bytes of the pickle are exchanged: torch raises ten kinds of errors for that."""
    meta = {'epoch': 1, 'scores': np.arange(3.0), 'best': np.float64(1)}
    content = (as_legacy if legacy else as_zip)({'state_dict': {'w': torch.zeros(3, 4)}, 'meta': meta})
    refused = 0
    for seed in range(60):
        rng = random.Random(seed)

        def damage(name: str, data: bytes, rng: random.Random = rng) -> bytes:
            changed = bytearray(data)
            for _ in range(3):
                changed[rng.randrange(len(changed))] = rng.randrange(256)
            return bytes(changed) if legacy or name.endswith('data.pkl') else data

        path, _ = write(tmp_path, damage('', content) if legacy else rewrite_zip(content, damage))
        try:
            CheckpointLoader.load_checkpoint(str(path))
        except CheckpointError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > 30
