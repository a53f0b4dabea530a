"""Files and checkpoints that are there as a whole or not at all, and full disks that say so."""

import contextlib
import errno
import os
import resource
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mmdet_ir.analysis.tone_mapping_figure import draw_tone_mappings
from mmdet_ir.compat import saving
from mmdet_ir.compat.checkpoint import CheckpointError, read_header
from mmdet_ir.datasets.coco_files import write_coco
from mmdet_ir.datasets.synthetic.writer import contact_sheet
from mmdet_ir.fileio import OutputError, whole_file, write_text
from mmdet_ir.visualization.figure_file import save_figure
from mmdet_ir.visualization.overlay import write_picture

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from mmdet.registry import METRICS
from mmengine.runner import save_checkpoint
from toy_training import At, ToyScore, in_child, kill, train


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file of this process gets larger; the system answers as for a full disk, with another number."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_file_takes_its_name_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / 'new' / 'file'
    with whole_file(path) as file:
        file.write(b'part')
        assert not path.exists()
    assert path.read_bytes() == b'part'
    with pytest.raises(KeyError), whole_file(path) as file:
        file.write(b'other')
        raise KeyError
    assert path.read_bytes() == b'part'
    assert os.listdir(path.parent) == ['file']


def test_several_threads_write_one_file_and_it_is_always_that_of_one(tmp_path: Path) -> None:
    path, together = tmp_path / 'file', threading.Barrier(2)

    def write(content: bytes) -> None:
        with whole_file(path) as file:
            together.wait(10)  # both are open
            file.write(content)
            together.wait(10)

    with ThreadPoolExecutor(2) as pool:
        for writing in [pool.submit(write, content) for content in (b'a' * 1000, b'b' * 2000)]:
            writing.result()
    assert path.read_bytes() in (b'a' * 1000, b'b' * 2000)
    assert os.listdir(tmp_path) == ['file']


@pytest.mark.parametrize('name', ['annotations.json', 'picture.png', 'figure.png', 'tones.png', 'scenes.png'])
def test_every_file_that_is_asked_for_is_whole_or_the_error_names_it(tmp_path: Path, name: str) -> None:
    path, noise = tmp_path / name, np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    figure = Figure()
    figure.figimage(noise)
    write = {
        'annotations.json': lambda: write_coco({'images': list(range(2000))}, path),
        'picture.png': lambda: write_picture(path, noise),
        'figure.png': lambda: save_figure(figure, path),
        'tones.png': lambda: draw_tone_mappings(noise[..., 0], {'linear': {'method': 'linear'}}, path),
        'scenes.png': lambda: contact_sheet(path, rows=1, pairs=1),
    }[name]
    path.write_text('before')
    with largest_file(1000), pytest.raises(OutputError, match=f'^{path}: cannot be written'):
        write()
    assert path.read_text() == 'before' and os.listdir(tmp_path) == [name]
    write()
    assert path.stat().st_size > 1000 and os.listdir(tmp_path) == [name]


def test_it_is_on_the_disk_before_it_takes_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a power cut leaves the name with nothing behind it."""
    calls = []
    for name in ('fsync', 'replace'):
        stock = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, name=name, stock=stock: (calls.append(name), stock(*a))[1])
    write_text(tmp_path / 'file', 'text')
    assert calls == ['fsync', 'replace', 'fsync']


def test_a_full_disk_is_told_and_leaves_the_last_file(tmp_path: Path) -> None:
    path = tmp_path / 'epoch_1.pth'
    save_checkpoint({'meta': {'epoch': 1}, 'state_dict': {'weight': torch.zeros(10)}}, str(path))
    before = path.read_bytes()
    for large in (torch.zeros(100_000), torch.zeros(3_000_000)):
        with largest_file(50_000), pytest.raises(OutputError, match=rf'^{path}: cannot be written \(File too large\)'):
            save_checkpoint({'meta': {'epoch': 2}, 'state_dict': {'weight': large}}, str(path))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ['epoch_1.pth']


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='needs /dev/full')
def test_a_disk_without_space_is_told(tmp_path: Path) -> None:
    """``/dev/full`` answers each write as a full disk does."""
    (tmp_path / 'link').symlink_to('/dev/full')
    with (
        pytest.raises(OutputError, match=os.strerror(errno.ENOSPC)),
        whole_file(tmp_path / 'file', tmp_path / 'link') as file,
    ):
        torch.save({'weight': torch.zeros(1000)}, file)


def test_a_folder_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / 'file').mkdir()
    with pytest.raises(OutputError, match=rf'^{tmp_path}/file: cannot be written'):
        write_text(tmp_path / 'file', 'text')
    (tmp_path / 'text').write_text('')
    with pytest.raises(OutputError, match='Not a directory|File exists'):
        write_text(tmp_path / 'text' / 'file', 'text')


def test_killed_while_a_checkpoint_is_written_the_one_before_is_there(tmp_path: Path) -> None:
    """With room for one checkpoint only, the old one is given up after the new one is whole."""
    saves = []
    stock = torch.save

    def dying_save(content: dict, file: object) -> None:
        saves.append(content['meta']['epoch'])
        if len(saves) == 4:  # epoch 1, its best, epoch 1 again with the best score in it; then epoch 2
            file.write(b'PK half a file')
            file.flush()
            kill()
        stock(content, file)

    keep = {'type': 'CheckpointHook', 'interval': 1, 'max_keep_ckpts': 1, 'save_best': 'score', 'rule': 'greater'}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saving.torch, 'save', dying_save)
        assert in_child(tmp_path, default_hooks={'checkpoint': keep}) == 'killed'
    assert saving.temporary_name(tmp_path / 'epoch_2.pth').read_bytes() == b'PK half a file'
    assert read_header(tmp_path / 'epoch_1.pth')['meta']['iter'] == 5
    assert Path((tmp_path / 'last_checkpoint').read_text()).name == 'epoch_1.pth'


@METRICS.register_module(force=True)
class RisingScore(ToyScore):
    """The toy's own score rises or falls by the last bits of its weights."""

    validations = 0

    def compute_metrics(self, results: list) -> dict[str, float]:
        self.validations += 1
        return {'score': float(self.validations)}


def test_the_best_checkpoint_is_given_up_after_a_better_one_is_there(tmp_path: Path) -> None:
    seen, stock = [], torch.save

    def watched_save(content: dict, file: object) -> None:
        if Path(file.name).name.startswith('.best'):
            seen.append(len(list(tmp_path.glob('best_*.pth'))))
        stock(content, file)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saving.torch, 'save', watched_save)
        train(tmp_path, val_evaluator={'type': 'RisingScore'})
    assert seen == [0, 1, 1, 1]
    assert len(list(tmp_path.glob('best_*.pth'))) == 1


def test_old_checkpoints_are_removed_and_so_is_what_kills_left(tmp_path: Path) -> None:
    assert in_child(tmp_path, At('after_train_iter', 17, kill)) == 'killed'
    assert {path.name for path in tmp_path.glob('epoch_*')} == {'epoch_2.pth', 'epoch_3.pth'}
    saving.temporary_name(tmp_path / 'epoch_4.pth').write_bytes(b'half')
    train(tmp_path, resume=True)
    assert {path.name for path in tmp_path.glob('epoch_*')} == {'epoch_3.pth', 'epoch_4.pth'}
    assert not list(tmp_path.glob('.*.tmp'))


def test_a_header_is_read_of_old_formats_and_refused_of_garbage(tmp_path: Path) -> None:
    path = tmp_path / 'file.pth'
    content = {'meta': {'epoch': 3}, 'state_dict': {'weight': torch.zeros(3)}}
    torch.save(content, path, _use_new_zipfile_serialization=False)
    assert read_header(path) == {'meta': {'epoch': 3}, 'keys': ('meta', 'state_dict')}
    generator = torch.Generator().manual_seed(0)
    for size in (1, 2, 10, 100, 1000):
        for _ in range(20):
            path.write_bytes(bytes(torch.randint(256, (size,), generator=generator).tolist()))
            with pytest.raises(CheckpointError, match=f'^{path}: '):
                read_header(path)
    torch.save([1, 2], path)
    with pytest.raises(CheckpointError, match='expected a dictionary, got a list'):
        read_header(path)
    torch.save({'state_dict': {}}, path)
    with pytest.raises(CheckpointError, match='holds weights alone, which no training can go on from'):
        read_header(path)
    with pytest.raises(FileNotFoundError):
        read_header(tmp_path / 'none.pth')
