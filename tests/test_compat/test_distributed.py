"""Two processes on the CPU against one with the same global batch."""

import os
import subprocess
import sys
from pathlib import Path

from mmdet_ir import compat

import pytest
import torch
from mmengine.dist import utils

SCRIPT = """
import sys
from pathlib import Path
import mmdet_ir
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner

class Line(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def forward(self, inputs, targets, mode):
        return {'loss': (self.layer(inputs) - targets).pow(2).mean()}

work_dir, batch_size, launcher = sys.argv[1], int(sys.argv[2]), sys.argv[3]
torch.manual_seed(0)
points = torch.rand(8, 2)
runner = Runner(
    model=Line(), work_dir=work_dir, launcher=launcher, randomness=dict(seed=1),
    env_cfg=dict(dist_cfg=dict(backend='nccl')),
    train_dataloader=dict(
        batch_size=batch_size, dataset=[(point, point.sum(0, keepdim=True)) for point in points],
        sampler=dict(type='DefaultSampler', shuffle=True), collate_fn=dict(type='default_collate')),
    train_cfg=dict(by_epoch=True, max_epochs=3),
    optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.2, momentum=0.9)))
runner.train()
if torch.distributed.is_initialized():
    group = f'{torch.distributed.get_backend()} {torch.distributed.get_world_size()}'
    Path(work_dir, f'rank{torch.distributed.get_rank()}.txt').write_text(group)
    torch.distributed.destroy_process_group()
"""


def run(*command: object, logs: Path | None = None) -> None:
    env = {**os.environ, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': '-1'}
    env['PYTHONPATH'] = str(Path(compat.__file__).parents[2])
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, env=env)
    of_each = [file.read_text()[-4000:] for file in sorted(logs.rglob('stderr.log'))] if logs else []
    assert done.returncode == 0, '\n'.join([done.stdout[-2000:], done.stderr[-4000:], *of_each])


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one_with_the_same_global_batch(tmp_path: Path) -> None:
    script = tmp_path / 'train.py'
    script.write_text(SCRIPT)
    run(script, tmp_path / 'one', 4, 'none')
    # --standalone takes a port that it holds from then on; one that is looked up first can be gone when it is needed.
    launch = ('-m', 'torch.distributed.run', '--nproc_per_node=2', '--standalone')
    # One file for each process: what two of them print to one pipe can arrive mixed.
    logs = tmp_path / 'logs'
    run(*launch, '--redirects=3', f'--log-dir={logs}', script, tmp_path / 'two', 2, 'pytorch', logs=logs)
    assert [(tmp_path / 'two' / f'rank{rank}.txt').read_text() for rank in (0, 1)] == ['gloo 2', 'gloo 2']
    printed = [next(logs.rglob(f'{rank}/stdout.log')).read_text() for rank in (0, 1)]
    told = 'No GPU: 2 processes on the CPU with the gloo backend, 1 thread(s) each'
    assert [text.count(told) for text in printed] == [1, 0]
    one, two = (torch.load(tmp_path / name / 'epoch_3.pth')['state_dict'] for name in ('one', 'two'))
    torch.manual_seed(0)
    assert set(one) == set(two) == {'layer.weight', 'layer.bias'}
    for name, value in one.items():
        torch.testing.assert_close(two[name], value)
    assert (one['layer.weight'] - 1).abs().max() < 0.5


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a machine with a GPU')
def test_too_few_gpus_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('LOCAL_RANK', str(torch.cuda.device_count()))
    with pytest.raises(ValueError, match='expected one GPU for each process'):
        utils._init_dist_pytorch('nccl')
