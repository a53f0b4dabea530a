"""The campaign's own parts: which moments it draws, and that its comparison finds a single bit."""

from collections import Counter
from pathlib import Path

from mmdet_ir.stress.kill_resume import Campaign, Interruption, Moment, compare, draw_moments, table

import torch


def checkpoint(path: Path, **changes: object) -> Path:
    content = {
        'meta': {'time': str(path)},  # not learned
        'state_dict': {'weight': torch.tensor([1.0, 2.0]), 'steps': torch.tensor(3)},
        'ema_state_dict': {'weight': torch.tensor([0.5, 0.25])},
        'optimizer': {
            'state': {0: {'exp_avg': torch.tensor([1e-3])}},
            'param_groups': [{'lr': 0.1, 'betas': (0.9, 0.999)}],
        },
        'param_schedulers': [{'last_step': 4}],
    }
    torch.save(content | changes, path)
    return path


def test_one_bit_is_a_difference(tmp_path: Path) -> None:
    one = checkpoint(tmp_path / 'one.pth')
    assert compare(one, checkpoint(tmp_path / 'other.pth')) == (0, 8)
    almost = torch.tensor([1.0, 2.0])
    almost[1] = torch.nextafter(almost[1], torch.tensor(3.0))
    weights = {'weight': almost, 'steps': torch.tensor(3)}
    assert compare(one, checkpoint(tmp_path / 'other.pth', state_dict=weights)) == (1, 8)
    assert compare(one, checkpoint(tmp_path / 'other.pth', param_schedulers=[{'last_step': 5}])) == (1, 8)
    assert compare(one, checkpoint(tmp_path / 'other.pth', ema_state_dict={})) == (1, 8)
    double = {'weight': torch.tensor([1.0, 2.0], dtype=torch.float64), 'steps': torch.tensor(3)}
    assert compare(one, checkpoint(tmp_path / 'other.pth', state_dict=double)) == (1, 8)


def test_every_kind_of_moment_is_drawn_alike() -> None:
    moments = draw_moments(20, 4, seed=1)
    assert Counter(moment.kind for moment in moments) == {
        'step': 5,
        'validation': 5,
        'checkpoint': 5,
        'record': 5,
        'stop': 4,
    }
    assert moments == draw_moments(20, 4, seed=1) != draw_moments(20, 4, seed=2)


def test_a_difference_anywhere_fails_the_campaign() -> None:
    row = Interruption('run 1', Moment('step', 0, 0.0), 7, 'epoch_1.pth, iteration 4', 'yes')
    assert Campaign([row], [('run 1', 0, 8)]).passed
    assert not Campaign([row], [('run 1', 1, 8)]).passed
    row.equal = 'no'
    failed = Campaign([row], [('run 1', 0, 8)])
    assert not failed.passed
    assert '| 1 | run 1 | SIGKILL in a training step | 7 | epoch_1.pth, iteration 4 | no |' in table(failed)
