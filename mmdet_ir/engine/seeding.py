"""Random numbers that depend on where a training is, not on how it came there.

What is drawn for a sample depends on seed, rank, number of the batch and place in it; what is drawn in a training step
on seed, rank and iteration. So there is no state to save: a training that goes on anywhere draws what it would have
drawn, and so do loader workers, however many there are and whatever they loaded before.
"""

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from mmdet.registry import DATA_SAMPLERS, DATASETS
from mmengine.dist import get_rank
from torch.utils.data import BatchSampler, Dataset, Sampler

Ticket = tuple[int, tuple[int, ...]]  # index of a sample, and what its random numbers depend on


def seed_everything(*entropy: int) -> None:
    """Seeds Python, NumPy and torch (all devices) of this process from whole numbers that are not negative."""
    words = [int(word) for word in np.random.SeedSequence(entropy).generate_state(4)]
    random.seed(words[0])
    np.random.seed(words[1])  # noqa: NPY002 (transforms of mmcv and mmdet draw from this generator)
    torch.manual_seed(words[2] << 32 | words[3])


class SeededDataset(Dataset):
    """Another data set, whose samples are asked for by tickets; everything else is the other's.

    Args:
        dataset: The data set, or its config.
    """

    def __init__(self, dataset: Dataset | dict) -> None:
        self.seeded = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset

    def __getattr__(self, name: str) -> Any:
        if name == 'seeded' or name.startswith('__'):  # absent while it is unpickled; torch looks for __getitems__
            raise AttributeError(name)
        return getattr(self.seeded, name)

    def __len__(self) -> int:
        return len(self.seeded)

    def __getitem__(self, ticket: Ticket) -> Any:
        index, entropy = ticket
        seed_everything(*entropy)
        return self.seeded[index]


class NumberedBatches(BatchSampler):
    """Batches of another sampler as tickets; each batch has the number of the iteration that it is for.

    Args:
        sampler: Of single samples.
        batch_size: Samples a batch.
        seed: Of all random numbers.
        batch_sampler: Config of the sampler that makes the batches; default is torch's.
        drop_last: For torch's: whether a batch that is not full is left out.
        endless: Whether the sampler starts again, with the next epoch, when it is done.

    Attributes:
        next_number: Number of the first batch of the sampler.
        first: Batches with lower numbers are drawn from the sampler, but left out.
        handed: How many batches were handed to the loader.
    """

    def __init__(
        self,
        sampler: Sampler,
        batch_size: int,
        seed: int,
        batch_sampler: dict | None = None,
        drop_last: bool = False,
        endless: bool = False,
    ) -> None:
        self.sampler, self.batch_size, self.endless = sampler, batch_size, endless
        if batch_sampler is None:
            self.batches = BatchSampler(sampler, batch_size, drop_last)
        else:
            self.batches = DATA_SAMPLERS.build(
                batch_sampler, default_args={'sampler': sampler, 'batch_size': batch_size}
            )
        self.drop_last = self.batches.drop_last
        self.origin = (seed, get_rank())
        self.next_number = self.first = self.handed = 0

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[Ticket]]:
        for number, batch in enumerate(self._passes(), self.next_number):
            if number >= self.first:
                self.handed += 1
                # Places count from 1: with trailing zeros the first sample would draw what the training step draws.
                yield [(index, (*self.origin, number, place)) for place, index in enumerate(batch, 1)]

    def _passes(self) -> Iterator[Sequence[int]]:
        yield from self.batches
        for epoch in itertools.count(1) if self.endless and len(self.batches) else ():
            if hasattr(self.sampler, 'set_epoch'):
                self.sampler.set_epoch(epoch)
            yield from self.batches


def seeded_loader(config: dict, seed: int, endless: bool = False) -> dict:
    """The config of a data loader whose batches are numbered and whose samples are seeded."""
    config = dict(config)
    batch_sampler = config.pop('batch_sampler', None)
    numbered = {'type': NumberedBatches, 'seed': seed, 'batch_sampler': batch_sampler, 'endless': endless}
    if batch_sampler is None:
        numbered['drop_last'] = config.pop('drop_last', False)
    return config | {'batch_sampler': numbered, 'dataset': {'type': SeededDataset, 'dataset': config['dataset']}}
