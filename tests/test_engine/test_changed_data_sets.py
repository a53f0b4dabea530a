"""What a hook changes in the training set arrives at the samples: in wrappers, and in workers with copies of it."""

from collections.abc import Callable
from pathlib import Path

from mmdet_ir.datasets.wrappers import leaves
from mmdet_ir.engine.seeding import DatasetWatch, SeededDataset

import pytest
from mmdet.datasets import MultiImageMixDataset
from mmdet.engine.hooks import PipelineSwitchHook, YOLOXModeSwitchHook
from mmdet.registry import DATASETS, TRANSFORMS
from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch.utils.data import DataLoader
from toy_training import train


@TRANSFORMS.register_module(force=True)
class Stamp:
    """Writes a number into the sample."""

    def __init__(self, number: float = 0.0) -> None:
        self.number = number

    def __call__(self, sample: dict) -> dict:
        return sample | {'stamp': self.number}


@TRANSFORMS.register_module(force=True)
class Extra:
    """Writes another number, which one can ask to skip."""

    def __call__(self, sample: dict) -> dict:
        return sample | {'extra': 1.0}


@DATASETS.register_module(force=True)
class StampedSet(BaseDataset):
    """Ten samples of nothing."""

    def load_data_list(self) -> list[dict]:
        return [{'number': number, 'extra': 0.0} for number in range(10)]

    def get_cat_ids(self, index: int) -> list[int]:
        return [index % 2]


def stamped(sample: list[dict]) -> dict:
    """Collates samples as the toy network takes them."""
    import torch

    inputs = torch.tensor([[row['stamp'], row['extra']] for row in sample])
    return {'inputs': inputs, 'targets': torch.zeros(len(sample), 1)}


ONE = {'type': 'StampedSet', 'pipeline': [{'type': 'Stamp'}]}
MIX = {'type': 'MultiImageMixDataset', 'dataset': ONE, 'pipeline': [{'type': 'Extra'}]}
WRAPPED = {
    'plain': ONE,
    'repeat': {'type': 'RepeatDataset', 'times': 1, 'dataset': ONE},
    'balanced': {'type': 'ClassBalancedDataset', 'oversample_thr': 0.1, 'dataset': ONE},
    'concat': {'type': 'ConcatDataset', 'datasets': [{**ONE, 'indices': 6}, {**ONE, 'indices': 4}]},
}


class Seen(Hook):
    """Notes what the batches hold: stamp and extra, by iteration."""

    def __init__(self) -> None:
        self.batches: list[tuple[set, set]] = []

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict) -> None:
        self.batches.append((set(data_batch['inputs'][:, 0].tolist()), set(data_batch['inputs'][:, 1].tolist())))


class Change(Hook):
    """Does something before or after an iteration, as no hook of MMDetection does."""

    def __init__(self, iteration: int, action: Callable[[object], None]) -> None:
        self.iteration, self.action = iteration, action

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict) -> None:
        if runner.iter == self.iteration:
            self.action(runner.train_dataloader.dataset)


def run(folder: Path, dataset: dict, *hooks: Hook, workers: int = 0, by_epoch: bool = True, **loader: object) -> list:
    """What the batches held."""
    init_default_scope('mmdet')
    seen = Seen()
    loader = {'dataset': dataset, 'collate_fn': stamped, **loader}
    settings = dict.fromkeys(('val_dataloader', 'val_cfg', 'val_evaluator', 'param_scheduler'))  # quicker
    settings['default_hooks'] = {'checkpoint': None}
    train(folder, seen, *hooks, workers=workers, by_epoch=by_epoch, loader=loader, **settings)
    return seen.batches


@pytest.mark.parametrize(('name', 'workers'), [*((name, 0) for name in WRAPPED), ('plain', 1), ('concat', 1)])
def test_the_pipeline_of_the_last_epochs_is_used(tmp_path: Path, name: str, workers: int) -> None:
    """MMDetection's hook, on 4 epochs of 5 batches; persistent workers got their copies in the first."""
    hook = PipelineSwitchHook(2, [{'type': 'Stamp', 'number': 7.0}])
    stamps = [stamp for stamp, _ in run(tmp_path, WRAPPED[name], hook, workers=workers)]
    assert stamps == [{0.0}] * 10 + [{7.0}] * 10


@pytest.mark.parametrize(('wrapped', 'workers'), [(False, 0), (True, 1)])
def test_steps_that_are_skipped_in_the_last_epochs(
    tmp_path: Path, wrapped: bool, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from toy_training import Net

    monkeypatch.setattr(Net, 'bbox_head', Stamp(), raising=False)
    dataset = {'type': 'RepeatDataset', 'times': 1, 'dataset': MIX} if wrapped else MIX
    hook = YOLOXModeSwitchHook(num_last_epochs=1, skip_type_keys=('Extra',))
    extras = [extra for _, extra in run(tmp_path, dataset, hook, workers=workers)]
    assert extras == [{1.0}] * 10 + [{0.0}] * 10  # (from epoch 3 of 4 on: epoch + 1 >= 4 - 1)


@pytest.mark.parametrize(('by_epoch', 'persistent'), [(True, True), (True, False), (False, True)])
def test_a_change_within_an_epoch_holds_from_the_next_step_on(
    tmp_path: Path, by_epoch: bool, persistent: bool
) -> None:
    """Deep inside a transform, where no attribute of the data set is set; workers had loaded ahead."""

    def change(dataset: SeededDataset) -> None:
        leaves(dataset)[0].pipeline.transforms[0].number = 3.0

    batches = run(
        tmp_path,
        WRAPPED['repeat'],
        Change(7, change),
        workers=2,
        by_epoch=by_epoch,
        persistent_workers=persistent,
    )
    assert [stamp for stamp, _ in batches] == [{0.0}] * 8 + [{3.0}] * 12


@pytest.mark.parametrize('by_epoch', [True, False])
def test_the_order_of_samples_stays_when_workers_start_anew(tmp_path: Path, by_epoch: bool) -> None:
    """Batches that were loaded ahead are loaded again, none is left out."""

    def numbers(folder: str, *hooks: Hook) -> list:
        drawn: list = []

        def collate(samples: list[dict]) -> dict:
            return stamped(samples) | {'numbers': [sample['number'] for sample in samples]}

        class Note(Hook):
            def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict) -> None:
                drawn.append(data_batch.pop('numbers'))

        run(tmp_path / folder, ONE, Note(), *hooks, workers=2, by_epoch=by_epoch, collate_fn=collate)
        return drawn

    alone = numbers('alone')
    assert numbers('changed', Change(7, lambda dataset: setattr(dataset, 'note', 1))) == alone
    assert len(alone) == 20


def test_an_attribute_arrives_where_it_is_read() -> None:
    init_default_scope('mmdet')
    for name, config in WRAPPED.items():
        dataset = SeededDataset(config)
        dataset.max_refetch = 3
        assert {leaf.max_refetch for leaf in leaves(dataset)} == {3}, name
        assert dataset.seeded is not None and 'max_refetch' not in vars(dataset)
    mixed = SeededDataset(MIX)
    mixed.pipeline = [Stamp(2.0), Extra()]
    assert isinstance(mixed.seeded, MultiImageMixDataset)
    assert mixed[0, (1, 2)]['stamp'] == 2.0
    del mixed.max_refetch
    assert not hasattr(mixed.seeded, 'max_refetch')


def test_a_data_set_that_cannot_be_pickled_is_watched_by_its_attributes() -> None:
    init_default_scope('mmdet')
    dataset = SeededDataset(ONE)
    dataset.seeded.file = (line for line in ())
    watch = DatasetWatch(DataLoader(dataset, num_workers=1))
    assert not watch.end_outdated_workers()
    dataset.note = 'new'
    assert watch.end_outdated_workers()
    assert not watch.end_outdated_workers()


def test_a_data_set_that_is_nested_deeply_is_watched_by_its_attributes() -> None:
    init_default_scope('mmdet')
    dataset = SeededDataset(ONE)
    nest: list = []
    for _ in range(100_000):
        nest = [nest]
    dataset.seeded.nest = nest
    watch = DatasetWatch(DataLoader(dataset, num_workers=1))
    assert not watch.end_outdated_workers()
    dataset.note = 'new'
    assert watch.end_outdated_workers()
    while nest:  # (freed from the outside: Python would free it from the inside, deeply)
        nest = nest.pop()


@pytest.mark.parametrize('by_epoch', [True, False])
def test_images_that_fill_no_batch_are_told(tmp_path: Path, by_epoch: bool) -> None:
    loader = {'batch_size': 1000, 'drop_last': True}
    with pytest.raises(ValueError, match=r'got none of 1000 images from \d+ with drop_last=True; lower batch_size'):
        train(tmp_path, by_epoch=by_epoch, loader=loader)
    train(tmp_path, by_epoch=by_epoch, loader=loader | {'drop_last': False})
