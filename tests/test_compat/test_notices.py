"""Which warnings stay off the screen."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

from mmdet_ir.compat.notices import silence_notices

import pytest
import torch


@pytest.mark.parametrize(
    ('message', 'category', 'shown'),
    [
        ('torch.meshgrid: in an upcoming release, it will be required to pass the indexing', UserWarning, False),
        (
            "`torch.cuda.amp.autocast(args...)` is deprecated. Please use `torch.amp.autocast('cuda'",
            FutureWarning,
            False,
        ),
        ("'maxsplit' is passed as positional argument", DeprecationWarning, False),
        ('torch.meshgrid: in an upcoming release, it will be required to pass the indexing', FutureWarning, True),
        ('roi_align has no deterministic implementation', UserWarning, True),
    ],
)
def test_notices(message: str, category: type[Warning], shown: bool) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        silence_notices()
        warnings.warn(message, category, stacklevel=1)
    assert len(caught) == shown


def test_pytorchs_own_words_are_known() -> None:
    """The call that MMDetection's RTMDet-Ins makes, as PyTorch words its warning now."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        torch.cuda.amp.autocast(enabled=False)
        assert [entry.category for entry in caught] == [FutureWarning]
        caught.clear()
        silence_notices()
        torch.cuda.amp.autocast(enabled=False)
    assert caught == []


REPO = Path(__file__).parents[2]
# A checkpoint is written and a loader is built, as a training does; a notice of another kind goes through.
TRAINING = """
import logging, sys
import mmdet_ir.engine
import mmengine.fileio.file_client
from toy_training import build
build(sys.argv[1], train_cfg={'by_epoch': True, 'max_epochs': 1}, log_level='WARNING').train()
mmengine.fileio.file_client.print_log('something else', logger='current', level=logging.WARNING)
"""


def test_a_training_shows_no_notice_of_other_libraries(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, '-c', TRAINING, str(tmp_path)],
        env={**os.environ, 'PYTHONPATH': f'{REPO}{os.pathsep}{REPO / "tests/test_engine"}'},
        capture_output=True,
        text=True,
        check=True,
    )
    text = run.stdout + run.stderr
    for notice in ('Failed to search registry', 'FileClient', 'HardDiskBackend', 'pkg_resources', 'unfinished'):
        assert notice not in text
    assert 'something else' in text
    assert (tmp_path / 'epoch_1.pth').is_file()
