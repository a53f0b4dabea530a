"""tools/analysis/benchmark.py without models."""

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch

TOOL = Path(__file__).parents[2] / 'tools' / 'analysis' / 'benchmark.py'


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, arguments)])
    monkeypatch.setattr(torch, 'set_num_threads', lambda count: None)  # of the other tests
    runpy.run_path(str(TOOL), run_name='__main__')


@pytest.mark.parametrize(
    ('part', 'more', 'title', 'entries'),
    [
        ('loading', ('--size', 64, 64), 'Data loading', 2),
        ('evaluation', ('--detections', 60), 'Evaluation', 2),
        ('mask_losses', ('--rois', 2), 'Mask losses, forward and backward', 2),
    ],
)
def test_one_part_is_measured_and_no_model(
    part: str,
    more: tuple,
    title: str,
    entries: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    tmp_path: Path,
) -> None:
    run(monkeypatch, '--only', part, '--repeats', 1, '--threads', 1, '--device', 'cpu', '--out', tmp_path / 'b', *more)
    text = capsys.readouterr().out
    assert text.startswith(f'{title}\n\n|') and text.count('\n\n|') == 1
    written = json.loads((tmp_path / 'b.json').read_text())
    assert set(written) == {'settings', 'environment', part} and len(written[part]) >= entries
    assert (tmp_path / 'b.md').read_text().strip() == text.strip()


@pytest.mark.parametrize('other', ['--all', '--profile', '--table4', 'configs/ir/mask_rcnn.py'])
def test_what_belongs_to_models_is_refused(
    other: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit, match='2'):
        run(monkeypatch, other, '--only', 'loading')
    assert '--only: expected no models, --table4, --all or --profile beside it' in capsys.readouterr().err
