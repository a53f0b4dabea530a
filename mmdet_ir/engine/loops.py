"""mmengine's training loops, able to start in the middle of an epoch and to draw the random numbers of that place."""

from collections.abc import Sequence
from itertools import chain, repeat

from mmengine.dist import get_rank
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner

from .seeding import seed_everything, seeded_loader


class ResumableEpochLoop(EpochBasedTrainLoop):
    """Loop over epochs.

    Attributes:
        first_batch: Batches of the epoch to come that are behind it already.
        done: Batches of the present epoch that are behind it, the present one included.
    """

    def __init__(self, runner: Runner, dataloader: dict, **settings: object) -> None:
        super().__init__(runner, seeded_loader(dataloader, runner.seed), **settings)
        self.first_batch = self.done = 0

    def run_epoch(self) -> None:
        """As mmengine's, from ``first_batch`` on; that may be the end, where only the hooks are left."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        batches = self.dataloader.batch_sampler
        batches.next_number, batches.first = self._iter - self.first_batch, self._iter
        for index, data_batch in enumerate(self.dataloader, self.first_batch):
            self.run_iter(index, data_batch)
        self.first_batch = 0
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def run_iter(self, idx: int, data_batch: Sequence[dict]) -> None:
        self.done = idx + 1
        seed_everything(self.runner.seed, get_rank(), self._iter)
        super().run_iter(idx, data_batch)

    def validation_is_due(self) -> bool:
        """Whether mmengine's loop validates between the last epoch and the next."""
        self._decide_current_val_interval()
        if self.runner.val_loop is None or self.first_batch or self._epoch < max(1, self.val_begin):
            return False
        return self._epoch % self.val_interval == 0 or self._epoch == self._max_epochs


class ResumableIterLoop(IterBasedTrainLoop):
    """Loop over iterations. Batches that are behind it are skipped where they are drawn, and not loaded."""

    first_batch = done = 0  # there are no epochs

    def __init__(self, runner: Runner, dataloader: dict, **settings: object) -> None:
        super().__init__(runner, seeded_loader(dataloader, runner.seed, endless=True), **settings)

    def run(self) -> None:
        if self._iter:
            batches = self.dataloader.batch_sampler
            batches.first = self._iter
            for _ in range(min(batches.handed, self._iter)):  # the loader prefetched them when it was built
                next(self.dataloader_iterator)
            # mmengine's loop takes that many batches and drops them.
            self.dataloader_iterator = chain(repeat(None, self._iter), self.dataloader_iterator)
        super().run()

    def run_iter(self, data_batch: Sequence[dict]) -> None:
        seed_everything(self.runner.seed, get_rank(), self._iter)
        super().run_iter(data_batch)

    def validation_is_due(self) -> bool:
        """Whether mmengine's loop validates between the last iteration and the next."""
        self._decide_current_val_interval()
        if self.runner.val_loop is None or self._iter < max(1, self.val_begin):
            return False
        return self._iter % self.val_interval == 0 or self._iter == self._max_iters
