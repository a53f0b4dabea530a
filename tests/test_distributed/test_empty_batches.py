"""A process whose images have no target takes part in every gradient: nothing waits, nothing is left unused."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

REPO = Path(__file__).parents[2]
FAMILIES = [
    'mask_rcnn_bnsa_focalsiou_mbcedicels_synthetic',
    *(f'{name}_real' for name in ('blendmask', 'condinst', 'boxinst', 'sparseinst', 'solov2', 'rtmdet-ins', 'yolact')),
]
SCRIPT = """
import sys
from pathlib import Path
import mmdet_ir
import torch
from mmengine.dist import get_rank, init_dist
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import build_optim_wrapper
from test_whole_models import BOXES, batch, model

init_dist('pytorch', backend='gloo', timeout=240)
rank = get_rank()
for name in sys.argv[2:]:
    built, _ = model(name)
    parallel = MMDistributedDataParallel(built, broadcast_buffers=False)
    wrapper = build_optim_wrapper(built, {'optimizer': {'type': 'SGD', 'lr': 1e-6}})
    for step in range(4):
        # Targets on process 0 only, on process 1 only, nowhere, and on process 0 again.
        full = (step in (0, 3) and rank == 0) or (step == 1 and rank == 1)
        data = batch(built, [[(BOXES[-1], 'touching', 1)] if full else [], []], step, 255.0)
        with wrapper.optim_context(parallel):
            loss, _ = built.parse_losses(parallel(**data, mode='loss'))
        wrapper.update_params(loss)
        assert torch.isfinite(loss), (name, step)
    missing = [n for n, p in built.named_parameters() if p.requires_grad and not torch.isfinite(p).all()]
    assert not missing, (name, missing)
    torch.save(list(built.parameters()), Path(sys.argv[1], f'{name}_{rank}.pth'))
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_targets_on_one_process_only(tmp_path: Path) -> None:
    script = tmp_path / 'steps.py'
    script.write_text(SCRIPT)
    env = {**os.environ, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': '-1'}
    env['PYTHONPATH'] = os.pathsep.join([str(REPO), str(REPO / 'tests' / 'test_numerics')])
    launch = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2']
    command = [*launch, str(script), str(tmp_path), *FAMILIES]
    with (tmp_path / 'output.txt').open('w') as output:
        done = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, env=env, timeout=900)
    assert done.returncode == 0, (tmp_path / 'output.txt').read_text()[-6000:]
    for name in FAMILIES:  # the processes have stepped alike
        for first, second in zip(*(torch.load(tmp_path / f'{name}_{rank}.pth') for rank in (0, 1)), strict=True):
            torch.testing.assert_close(first, second, rtol=0, atol=0)
