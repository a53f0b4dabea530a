"""Two processes on the CPU, through the launch scripts: the same training as one, and the same end for both."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from mmdet_ir.datasets.synthetic import synthesize

import pytest
import torch
from dist_runs import losses, start, write_config

pytestmark = pytest.mark.slow
LIMIT = 1500  # seconds until a run counts as hanging; it takes 15 on an idle machine


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8 training and 5 test scenes: an odd number, so one process gets an image more than the other."""
    root = tmp_path_factory.mktemp('data') / 'scenes'
    synthesize(root, 8, 5, (96, 64), seed=3, workers=1, counts=False)
    return root


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Runs to the end and returns the file with the output; whatever is left at the end of the test is ended."""
    begun: list[subprocess.Popen] = []

    def run(name: str, *arguments: object, expect: Callable[[int], bool], **options: object) -> Path:
        output = tmp_path / f'{name}.txt'
        begun.append(start(*arguments, output=output, **options))
        code = begun[-1].wait(timeout=LIMIT)
        assert expect(code), f'exit code {code}\n{output.read_text()[-6000:]}'
        return output

    yield run
    for process in begun:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def succeeds(code: int) -> bool:
    return code == 0


def fails(code: int) -> bool:
    return code > 0


def test_two_processes_learn_and_score_as_one(launch: Callable, data: Path, tmp_path: Path) -> None:
    """Losses of both averaged, weights and metrics: float32 sums in another order, hence the tolerances.

    BlendMask divides every loss by a mean over the processes or by equal numbers, so the average of the gradients is
    the gradient of the whole batch.
    """
    config = write_config(tmp_path / 'config.py', data)
    launch('one', 'train', config, expect=succeeds, train_dataloader__batch_size=4)
    launch('two', 'train', config, processes=2, expect=succeeds, train_dataloader__batch_size=2)
    alone = losses(tmp_path / 'one', 0)
    pair = list(zip(losses(tmp_path / 'two', 0), losses(tmp_path / 'two', 1), strict=True))
    assert len(alone) == len(pair) == 4
    for one, (first, second) in zip(alone, pair, strict=True):
        assert set(one) == set(first) == set(second)
        for name, value in one.items():
            if 'loss' in name:
                assert (first[name] + second[name]) / 2 == pytest.approx(value, rel=1e-5), name
    assert alone[-1]['loss'] < alone[0]['loss']
    weights = [torch.load(tmp_path / run / 'epoch_2.pth', weights_only=False)['state_dict'] for run in ('one', 'two')]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-4, atol=1e-6, msg=name)
    scores = [json.loads(next((tmp_path / run).rglob('metrics_val_*.json')).read_text()) for run in ('one', 'two')]
    assert [score['images'] for score in scores] == [5, 5]
    for kind, rows in scores[0]['metrics'].items():
        for row, columns in rows.items():
            assert scores[1]['metrics'][kind][row] == pytest.approx(columns, abs=2e-3, nan_ok=True), (kind, row)

    # The same weights: the same detections, so the same numbers.
    checkpoint = tmp_path / 'two' / 'epoch_2.pth'
    launch('test_one', 'test', config, checkpoint, expect=succeeds)
    launch('test_two', 'test', config, checkpoint, processes=2, expect=succeeds)
    tested = [
        json.loads(next((tmp_path / r).rglob('metrics_test.json')).read_text()) for r in ('test_one', 'test_two')
    ]
    assert tested[0] == tested[1] and tested[0]['images'] == 5
    assert sum(row['targets'] for row in tested[0]['metrics']['segm'].values()) > 0


@pytest.mark.parametrize(
    ('failure', 'reason'),
    [
        ('kill', 'Signal 9 (SIGKILL)'),
        ('raise', 'RuntimeError: the reason of process 1'),
        ('nan', 'iteration 3, epoch 2, process 1: expected a finite loss, got'),
    ],
)
def test_one_process_that_fails_ends_all(
    launch: Callable, data: Path, tmp_path: Path, failure: str, reason: str
) -> None:
    more = f"\ncustom_hooks = [dict(type='ProbeHook', failure={failure!r})]\n"
    config = write_config(tmp_path / 'config.py', data, more=more)
    output = launch(failure, 'train', config, processes=2, expect=fails, train_dataloader__batch_size=2)
    seconds = time.time() - float((tmp_path / failure / 'failed_at.txt').read_text())
    text = output.read_text()
    assert reason in text
    assert seconds < 60
    assert not list((tmp_path / failure).glob('epoch_2.pth'))
    reports = list((tmp_path / failure).glob('invalid_loss_iter_*.json'))
    if failure != 'nan':
        assert not reports
        return
    (report,) = reports
    (entry,) = json.loads(report.read_text())['processes']
    assert entry['rank'] == 1
    assert len(entry['images']) == 2 and all(Path(image['path']).is_file() for image in entry['images'])
    assert text.index('error: ') < text.index('Traceback')  # that of the launcher, which closes the output
