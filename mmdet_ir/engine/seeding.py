"""Random numbers that depend on where a training is, not on how it came there.

What is drawn for a sample depends on seed, rank, number of the batch and place in it; what is drawn in a training step
on seed, rank and iteration. So there is no state to save: a training that goes on anywhere draws what it would have
drawn, and so do loader workers, however many there are and whatever they loaded before.
"""

import hashlib
import io
import itertools
import pickle
import random
from collections import deque
from collections.abc import Iterator, Sequence
from types import FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from mmdet.registry import DATA_SAMPLERS, DATASETS
from mmengine.dist import get_rank
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler

from ..datasets.wrappers import assign, every, owners

Ticket = tuple[int, tuple[int, ...]]  # index of a sample, and what its random numbers depend on


def seed_everything(*entropy: int) -> None:
    """Seeds Python, NumPy and torch (all devices) of this process from whole numbers that are not negative."""
    words = [int(word) for word in np.random.SeedSequence(entropy).generate_state(4)]
    random.seed(words[0])
    np.random.seed(words[1])  # noqa: NPY002 (transforms of mmcv and mmdet draw from this generator)
    torch.manual_seed(words[2] << 32 | words[3])


class SeededDataset(Dataset):
    """Another data set, whose samples are asked for by tickets; everything else is the other's.

    An attribute that is set arrives at the data set that reads it, within any wrappers
    (:func:`mmdet_ir.datasets.wrappers.assign`), and so does a method that changes the data set, whose name begins with
    ``update_`` or ``set_``.

    Args:
        dataset: The data set, or its config.
    """

    def __init__(self, dataset: Dataset | dict) -> None:
        self.seeded = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset

    def __getattr__(self, name: str) -> Any:
        if name == 'seeded' or name.startswith('__'):  # absent while it is unpickled; torch looks for __getitems__
            raise AttributeError(name)
        if not hasattr(self.seeded, name) and name.startswith(('update_', 'set_')):
            methods = [getattr(owner, name) for owner in owners(self.seeded, name)]
            if methods:
                return lambda *arguments, **named: [method(*arguments, **named) for method in methods][0]
        return getattr(self.seeded, name)

    def __setattr__(self, name: str, value: object) -> None:
        if name == 'seeded':
            object.__setattr__(self, name, value)
        else:
            assign(self.seeded, name, value)

    def __delattr__(self, name: str) -> None:
        for owner in owners(self.seeded, name) or [self.seeded]:
            delattr(owner, name)

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

    Raises:
        ValueError: If the samples fill no batch, and ``drop_last`` leaves out what is not full.

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
        if not len(self.batches) and len(sampler):
            raise ValueError(
                f'train_dataloader: expected one batch at least, got none of {batch_size} images from {len(sampler)} '
                f'with drop_last=True; lower batch_size, or set drop_last=False'
            )
        self.origin = (seed, get_rank())
        self.next_number = self.first = self.handed = 0
        self._kept: deque[tuple[int, Sequence[int]]] = deque()
        self._running: Iterator[tuple[int, Sequence[int]]] = iter(())
        self._again: list[tuple[int, Sequence[int]]] | None = None

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[Ticket]]:
        again, self._again = self._again, None
        if again is None:
            self._running, again = enumerate(self._passes(), self.next_number), []
        self._kept.clear()
        for number, batch in itertools.chain(again, self._running):
            if number >= self.first:
                self.handed += 1
                self._kept.append((number, batch))
                # Places count from 1: with trailing zeros the first sample would draw what the training step draws.
                yield [(index, (*self.origin, number, place)) for place, index in enumerate(batch, 1)]

    def behind(self, number: int) -> None:
        """Tells that the batches before this one were used: :meth:`rewind` will not go back to them."""
        while self._kept and self._kept[0][0] < number:
            self._kept.popleft()

    def rewind(self, number: int) -> None:
        """Hands the batches from this one on out once more, to the next who iterates: a loader had drawn ahead."""
        self._again = [entry for entry in self._kept if entry[0] >= number]

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


class _Fingerprint(pickle.Pickler):
    """What can be changed in a data set; what is large is known by its identity."""

    def persistent_id(self, thing: object) -> tuple | None:
        large = isinstance(thing, list | tuple | dict | bytes | str) and len(thing) > 1000
        if large or isinstance(thing, np.ndarray | torch.Tensor):
            return type(thing).__name__, id(thing), len(thing) if large else tuple(thing.shape)
        if isinstance(thing, MethodType):
            return 'method', id(thing.__self__), thing.__name__
        return ('function', id(thing)) if isinstance(thing, FunctionType) else None


class DatasetWatch:
    """Notices that a data set was changed since the workers of its loader got their copies of it.

    Hooks change data sets during a training: another pipeline for the last epochs, other sizes. Persistent workers,
    and all workers of a loop without epochs, would go on with what they have.

    Args:
        loader: The loader; without workers there is nothing to notice.
    """

    def __init__(self, loader: DataLoader) -> None:
        self.loader = loader
        self._given = self._state()

    def _state(self) -> bytes:
        if not self.loader.num_workers:
            return b''
        content = io.BytesIO()
        try:
            _Fingerprint(content, pickle.HIGHEST_PROTOCOL).dump(self.loader.dataset)
        except (pickle.PicklingError, TypeError, AttributeError, RecursionError):  # an open file, a deep nest, ...
            parts = every(self.loader.dataset.seeded)
            return repr([(name, id(value)) for part in parts for name, value in vars(part).items()]).encode()
        return hashlib.sha256(content.getbuffer()).digest()

    def end_outdated_workers(self) -> bool:
        """Ends the workers if their copies are not what the data set is now; the next ones get new copies."""
        state = self._state()
        if state == self._given:
            return False
        self._given, self.loader._iterator = state, None
        return True

    def open(self) -> Iterator:
        """Starts to load."""
        return iter(self.loader)
