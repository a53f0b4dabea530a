"""Every tool that takes a checkpoint refuses one that carries code: exit code 2, one line that names it, nothing run.

The tools run in this process, since a process for each would spend its time on importing PyTorch.
"""

import os
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import mmdet_ir  # noqa: F401  (first: mmdet cannot be imported without it)

import pytest
import torch

TOOLS = Path(__file__).parents[2] / 'tools'


class Payload:
    """Unpickles by running a shell command."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return os.system, (f'touch {self.target}',)


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    path = tmp_path / 'stranger.pth'
    torch.save({'state_dict': {'w': torch.zeros(1)}, 'meta': {'epoch': [1, {'a': Payload(tmp_path / 'owned')}]}}, path)
    return path


def options(*pairs: str) -> list[str]:
    return ['--cfg-options', *pairs]


def pretrained(config: Path, checkpoint: Path) -> Path:
    """A config whose backbone starts from the checkpoint."""
    path = checkpoint.with_suffix('.py')
    path.write_text(
        f'_base_ = {str(config)!r}\n'
        f"init_cfg = dict(_delete_=True, type='Pretrained', checkpoint={str(checkpoint)!r})\n"
        'model = dict(backbone=dict(init_cfg=init_cfg))\n'
    )
    return path


# Arguments from config, checkpoint, a free folder, and the data set's folder.
WAYS: dict[str, tuple[str, Callable[..., list]]] = {
    'resume': ('train.py', lambda c, p, out, data: [c, '--work-dir', out, '--resume', p]),
    'load_from': ('train.py', lambda c, p, out, data: [c, '--work-dir', out, *options(f'load_from={p}')]),
    'init_cfg': ('train.py', lambda c, p, out, data: [pretrained(c, p), '--work-dir', out]),
    'test': ('test.py', lambda c, p, out, data: [c, p, '--work-dir', out]),
    'infer': ('infer.py', lambda c, p, out, data: [c, p, data / 'images', '--out', out, '--device', 'cpu']),
    'derive_masks': (
        'data/derive_masks.py',
        lambda c, p, out, data: [
            data / 'annotations/val.json',
            '--images',
            data / 'images',
            '--out',
            out / 'new.json',
            '--replace',
            '--model',
            c,
            p,
            '--device',
            'cpu',
        ],
    ),
    'draw_grid': ('analysis/draw_grid.py', lambda c, p, out, data: [c, p, '--out', out / 'g.png', '--device', 'cpu']),
    'export': ('deploy/export.py', lambda c, p, out, data: [c, p, '--format', 'torchscript', '--out', out / 'm.pt']),
}


@pytest.mark.parametrize('way', WAYS)
def test_a_checkpoint_that_carries_code_is_refused(
    way: str, toy_config: Path, stranger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd
) -> None:
    tool, arguments = WAYS[way]
    given = arguments(toy_config, stranger, tmp_path / 'out', toy_config.parent)
    monkeypatch.setattr(sys, 'argv', [tool, *map(str, given)])
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '-1')
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(TOOLS / tool), run_name='__main__')
    assert ended.value.code == 2
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith('error: ')]
    assert len(lines) == 1 and 'stranger.pth: refused, because loading it would run' in lines[0]
    assert not (tmp_path / 'owned').exists()


def test_the_payload_works_where_nothing_guards(stranger: Path, tmp_path: Path) -> None:
    """Else the tests above would prove nothing."""
    torch.load(stranger, weights_only=False)
    assert (tmp_path / 'owned').exists()
