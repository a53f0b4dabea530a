"""Time and memory that a large data set costs, beside plain MMDetection's. Linux: memory is read from ``/proc``.

Each measurement wants a process of its own, since memory that was used once is not given back.
"""

import itertools
import multiprocessing
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from mmdet.datasets import CocoDataset
from mmdet.evaluation import CocoMetric
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from ..datasets.coco_files import SPLITS, count_instances, read_coco, write_coco
from ..datasets.coco_merge import merge_data_sets
from ..datasets.coco_split import split_coco
from ..datasets.ir_dataset import IRDataset
from ..datasets.validation.data_sets import from_file
from ..datasets.validation.report import as_text, check_data_set
from ..evaluation.ir_coco_metric import IRCocoMetric
from .large_set import CLASSES, detections, read_extent

OURS, PLAIN = 'mmdet_ir', 'MMDetection'
WORKERS = 4
MIB = 2**20
Cost = dict[str, float]


def memory(field: str, pid: int | str = 'self') -> float:
    """MiB of a process: ``VmRSS``, ``VmHWM`` (resident, and its peak) or ``Pss`` (shared pages divided by users)."""
    file = 'smaps_rollup' if field == 'Pss' else 'status'
    for line in Path(f'/proc/{pid}/{file}').read_text(encoding='ascii').splitlines():
        if line.startswith(f'{field}:'):
            return int(line.split()[1]) * 1024 / MIB
    raise ValueError(f'/proc/{pid}/{file}: expected a line {field}')


class Watch:
    """Seconds of wall clock and of this process's CPU since it was made."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def read(self, name: str) -> Cost:
        return {
            f'{name}_seconds': time.perf_counter() - self.wall,
            f'{name}_cpu_seconds': time.process_time() - self.cpu,
        }


def build_data_set(folder: Path, who: str, pipeline: list[dict] | None = None) -> CocoDataset:
    """The training split, for ``OURS`` or ``PLAIN``; without a pipeline, masks are not asked for."""
    init_default_scope('mmdet')
    return (IRDataset if who == OURS else CocoDataset)(
        metainfo={'classes': CLASSES},
        data_root=f'{folder}/',
        ann_file='annotations/train.json',
        data_prefix={'img': 'images/'},
        filter_cfg={'filter_empty_gt': False},
        pipeline=training_pipeline(who) if pipeline is None else pipeline,
    )


def training_pipeline(who: str) -> list[dict]:
    """That of ``configs/_base_/datasets/ir_instance.py``, with each side's own loading."""
    return [
        {'type': 'LoadIRImageFromFile' if who == OURS else 'LoadImageFromFile'},
        {'type': 'LoadAnnotations', 'with_bbox': True, 'with_mask': True},
        {'type': 'Resize', 'scale': (640, 512), 'keep_ratio': True},
        {'type': 'RandomFlip', 'prob': 0.5},
        {'type': 'PackDetInputs'},
    ]


def build_metric(folder: Path, who: str) -> CocoMetric:
    metric = (IRCocoMetric if who == OURS else CocoMetric)(
        ann_file=f'{folder}/annotations/train.json', metric=['bbox', 'segm']
    )
    metric.dataset_meta = {'classes': CLASSES}
    return metric


def measure_start(folder: Path, who: str) -> Cost:
    """Build the data set, then load a first batch with two workers."""
    row = {'imports_mib': memory('VmRSS')}
    watch = Watch()
    data_set = build_data_set(folder, who)
    row |= watch.read('start') | {'peak_mib': memory('VmHWM'), 'after_mib': memory('VmRSS')}
    watch = Watch()
    loader = {
        'batch_size': 2,
        'num_workers': 2,
        'sampler': {'type': 'DefaultSampler', 'shuffle': True},
        'batch_sampler': {'type': 'AspectRatioBatchSampler'},
        'dataset': data_set,
    }
    loader = Runner.build_dataloader(loader, seed=0)
    batch = next(iter(loader))
    row |= watch.read('first_batch')
    return row | {'images': len(data_set), 'batch': len(batch['inputs'])}


def measure_workers(folder: Path, who: str, with_metric: bool) -> Cost:
    """Memory of the process and four loader workers, before and after each worker has read every entry.

    Args:
        folder: The data set.
        who: ``OURS`` or ``PLAIN``.
        with_metric: Whether the process holds the metric of the same file, too, as in training with validation.
    """
    metric = build_metric(folder, who) if with_metric else None
    data_set = build_data_set(folder, who, pipeline=[])
    row = {'parent_mib': memory('Pss')}
    context = multiprocessing.get_context('fork')  # as the loader does on Linux
    ready, end = context.Barrier(WORKERS + 1), context.Event()
    workers = [context.Process(target=_read_all, args=(data_set, ready, end)) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    try:
        ready.wait()
        each = [memory('Pss', worker.pid) for worker in workers]
        row |= {'parent_and_workers_mib': memory('Pss') + sum(each), 'worker_mib': max(each)}
    finally:
        end.set()
        for worker in workers:
            worker.join()
    return row | {'images': len(data_set), 'metrics': 0 if metric is None else len(metric.metrics)}


def _read_all(data_set: CocoDataset, ready: multiprocessing.Barrier, end: multiprocessing.Event) -> None:
    kept = []
    for index in range(len(data_set)):
        kept.append(pseudo_collate([data_set.get_data_info(index)]))  # new objects also start the garbage collector
        del kept[:-8]
    ready.wait()
    end.wait()


def measure_evaluation(folder: Path, who: str) -> Cost:
    """As many detections as targets, from the model's output to the scores."""
    row = {'imports_mib': memory('VmRSS')}
    watch = Watch()
    metric = build_metric(folder, who)
    row |= watch.read('load') | {'load_peak_mib': memory('VmHWM'), 'load_after_mib': memory('VmRSS')}
    images, per_image, size = read_extent(folder)
    for samples in detections(images, per_image, size, seed=0):
        metric.process({}, samples)
    row['results_mib'] = memory('VmRSS')
    watch = Watch()
    scores = metric.evaluate(images)
    row |= watch.read('evaluate') | {'peak_mib': memory('VmHWM')}
    return row | {key: float(value) for key, value in scores.items() if key.endswith(('_mAP', '_mAP_50'))}


def measure_validation(folder: Path, images: bool) -> Cost:
    """What ``tools/data/validate.py`` does with one file."""
    watch = Watch()
    checked = check_data_set(from_file(str(folder / 'annotations' / 'train.json'), CLASSES, None, 'file_name'), images)
    as_text([checked], [])
    row = watch.read('validate') | {'peak_mib': memory('VmHWM'), 'kinds': len(checked.problems)}
    return row | {'errors': sum(problem.severity == 'error' for problem in checked.problems)}


def measure_split(folder: Path) -> Cost:
    """What ``tools/data/split.py`` does."""
    watch = Watch()
    parts = split_coco(read_coco(folder / 'annotations' / 'train.json'), 0.8, 0)
    for name, part in zip(SPLITS, parts, strict=True):
        write_coco(part, folder.with_name(f'{folder.name}_split') / f'{name}.json')
        count_instances(part)
    return watch.read('split') | {'peak_mib': memory('VmHWM')}


def measure_merge(folder: Path) -> Cost:
    """What ``tools/data/merge.py`` does, with one source."""
    watch = Watch()
    merged = merge_data_sets(folder.with_name(f'{folder.name}_merged'), [folder], overwrite=True)
    return watch.read('merge') | {'peak_mib': memory('VmHWM'), 'images': len(merged['train']['images'])}


CASES: dict[str, Callable[[Path], Cost]] = {
    **{
        f'{name}, {who}': partial(case, who=who)
        for (name, case), who in itertools.product(
            (
                ('start', measure_start),
                ('workers', partial(measure_workers, with_metric=False)),
                ('workers and metric', partial(measure_workers, with_metric=True)),
                ('evaluation', measure_evaluation),
            ),
            (OURS, PLAIN),
        )
    },
    'validation without images': partial(measure_validation, images=False),
    'validation': partial(measure_validation, images=True),
    'split': measure_split,
    'merge': measure_merge,
}
