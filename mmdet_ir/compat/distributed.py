"""Lets mmengine's launchers run without an accelerator, and train models with images without targets."""

import contextlib
import functools
import logging
import os
from collections.abc import Callable, Iterator

import torch
from mmengine.device import get_device
from mmengine.dist import utils
from mmengine.logging import print_log
from mmengine.model import MMDistributedDataParallel, revert_sync_batchnorm

LAUNCHERS = ('_init_dist_pytorch', '_init_dist_mpi', '_init_dist_slurm')


@contextlib.contextmanager
def _no_cuda_device_to_set() -> Iterator[None]:
    """mmengine selects a CUDA device by rank before it opens the process group; without CUDA there is none."""
    stock = torch.cuda.set_device
    torch.cuda.set_device = lambda device: None
    try:
        yield
    finally:
        torch.cuda.set_device = stock


def _on_any_device(init: Callable) -> Callable:
    @functools.wraps(init)
    def wrapper(backend: str, **kwargs: object) -> None:
        if get_device() != 'cpu':
            rank, found = int(os.environ.get('LOCAL_RANK', 0)), torch.cuda.device_count()
            if get_device() == 'cuda' and rank >= found:
                raise ValueError(
                    f'expected one GPU for each process of this machine, got process {rank + 1} and {found} GPU(s); '
                    'start fewer processes, or hide the GPUs with CUDA_VISIBLE_DEVICES=-1 to run on the CPU'
                )
            return init(backend, **kwargs)
        if backend == 'nccl':
            backend = 'gloo'
        with _no_cuda_device_to_set():
            init(backend, **kwargs)
        if torch.distributed.get_rank() == 0:
            print_log(
                f'No GPU: {torch.distributed.get_world_size()} processes on the CPU with the {backend} backend, '
                f'{torch.get_num_threads()} thread(s) each',
                logger='current',
                level=logging.INFO,
            )
        return None

    return wrapper


def _on_cpu(init: Callable) -> Callable:
    """Without the ids of GPUs, and without SyncBN, which PyTorch has for GPUs only (RTMDet takes it by itself)."""

    @functools.wraps(init)
    def wrapper(self: MMDistributedDataParallel, module: torch.nn.Module, *args: object, **kwargs: object) -> None:
        if all(parameter.device.type == 'cpu' for parameter in module.parameters()):
            kwargs.update(device_ids=None, output_device=None)
            if any(isinstance(part, torch.nn.SyncBatchNorm) for part in module.modules()):
                module = revert_sync_batchnorm(module)
                print_log(
                    'SyncBN needs GPUs: here each process normalises with the statistics of its own images, so give '
                    'each a batch that is large enough',
                    logger='current',
                    level=logging.WARNING,
                )
        init(self, module, *args, **kwargs)

    return wrapper


def _with_unused_mask_branch(init: Callable) -> Callable:
    """CondInst, BoxInst, RTMDet-Ins and SOLOv2 leave their masks out of the loss of a batch without targets.

    The processes that have some would wait for the gradients of kernels and mask feature for ever, or fail in the next
    iteration.
    """

    @functools.wraps(init)
    def wrapper(self: MMDistributedDataParallel, module: torch.nn.Module, *args: object, **kwargs: object) -> None:
        # mmdet can be imported only after the operators are served, and this module is imported before.
        from mmdet.models.dense_heads import CondInstMaskHead, RTMDetInsHead, SOLOV2Head

        if any(isinstance(part, CondInstMaskHead | RTMDetInsHead | SOLOV2Head) for part in module.modules()):
            kwargs['find_unused_parameters'] = True
        init(self, module, *args, **kwargs)

    return wrapper


def support_cpu_launchers() -> None:
    """Makes ``init_dist`` and ``wrap_model`` of mmengine work without a GPU, and for masks that a loss leaves out."""
    for name in LAUNCHERS:
        setattr(utils, name, _on_any_device(getattr(utils, name)))
    MMDistributedDataParallel.__init__ = _on_cpu(_with_unused_mask_branch(MMDistributedDataParallel.__init__))
