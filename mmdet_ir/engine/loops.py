"""mmengine's training loops, able to start in the middle of an epoch and to draw the random numbers of that place."""

from collections.abc import Iterator
from itertools import chain, repeat

from mmengine.dist import get_rank
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner

from .seeding import DatasetWatch, seed_everything, seeded_loader


class ResumableEpochLoop(EpochBasedTrainLoop):
    """Loop over epochs.

    Attributes:
        first_batch: Batches of the epoch to come that are behind it already.
        done: Batches of the present epoch that are behind it, the present one included.
    """

    def __init__(self, runner: Runner, dataloader: dict, *arguments: object, **settings: object) -> None:
        super().__init__(runner, seeded_loader(dataloader, runner.seed), *arguments, **settings)
        self.first_batch = self.done = 0
        self._watch = DatasetWatch(self.dataloader)

    def run_epoch(self) -> None:
        """As mmengine's, from ``first_batch`` on; that may be the end, where only the hooks are left."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        batches, start = self.dataloader.batch_sampler, self._iter - self.first_batch
        batches.next_number, batches.first = start, self._iter
        self._watch.end_outdated_workers()
        loaded, index = self._watch.open(), self.first_batch
        while (data_batch := next(loaded, None)) is not None:
            self.done = index + 1
            seed_everything(self.runner.seed, get_rank(), self._iter)
            self.run_iter(index, data_batch)
            index += 1
            batches.behind(start + index)
            if self._watch.end_outdated_workers():
                batches.rewind(start + index)
                loaded = self._watch.open()
        self.first_batch = 0
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def validation_is_due(self) -> bool:
        """Whether mmengine's loop validates between the last epoch and the next."""
        self._decide_current_val_interval()
        if self.runner.val_loop is None or self.first_batch or self._epoch < max(1, self.val_begin):
            return False
        return self._epoch % self.val_interval == 0 or self._epoch == self._max_epochs


class ResumableIterLoop(IterBasedTrainLoop):
    """Loop over iterations. Batches that are behind it are skipped where they are drawn, and not loaded."""

    first_batch = done = 0  # there are no epochs

    def __init__(self, runner: Runner, dataloader: dict, *arguments: object, **settings: object) -> None:
        super().__init__(runner, seeded_loader(dataloader, runner.seed, endless=True), *arguments, **settings)
        self._watch = DatasetWatch(self.dataloader)

    def run(self) -> None:
        # mmengine's loop takes the batches that are behind it and drops them; its fork's loop asks for a skip instead.
        dropped = 0 if hasattr(self.dataloader_iterator, 'skip_iter') else self._iter
        self.dataloader_iterator = _Batches(repeat(None, dropped), self._seeded(iter(self.dataloader_iterator)))
        super().run()

    def _seeded(self, loaded: Iterator) -> Iterator:
        """The batches, each with the random numbers of its iteration drawn anew."""
        batches = self.dataloader.batch_sampler
        batches.first = self._iter
        for _ in range(min(batches.handed, self._iter)):  # the loader prefetched them when it was built
            next(loaded)
        while True:
            batches.behind(self._iter)
            if self._watch.end_outdated_workers():
                batches.rewind(self._iter)
                loaded = self._watch.open()
            data_batch = next(loaded)
            seed_everything(self.runner.seed, get_rank(), self._iter)
            yield data_batch

    def validation_is_due(self) -> bool:
        """Whether mmengine's loop validates between the last iteration and the next."""
        self._decide_current_val_interval()
        if self.runner.val_loop is None or self._iter < max(1, self.val_begin):
            return False
        return self._iter % self.val_interval == 0 or self._iter == self._max_iters


class _Batches(chain):
    def skip_iter(self, number: int) -> None:
        """Asked by the loop of ``onedl-mmengine``: the batches that are behind it were never drawn."""


def resumable(kind: type) -> type | None:
    """The resumable form of a training loop.

    A subclass of one of mmengine's two gets the same class behind it, unless it has a method of its own in place of
    the one that this module extends.

    Args:
        kind: A loop's class.

    Returns:
        A class that takes the same arguments, or ``None`` if there is no such form.
    """
    for stock, ours, extended in (
        (EpochBasedTrainLoop, ResumableEpochLoop, 'run_epoch'),
        (IterBasedTrainLoop, ResumableIterLoop, 'run'),
    ):
        if issubclass(kind, ours):
            return kind
        if kind is stock:
            return ours
        if issubclass(kind, stock) and getattr(kind, extended) is getattr(stock, extended):
            return type(kind.__name__, (kind, ours), {'__module__': kind.__module__, '__doc__': kind.__doc__})
    return None
