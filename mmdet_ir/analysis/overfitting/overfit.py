"""Can this model learn at all? It is trained on a few images until it knows them by heart.

A wrong loss, target assignment or post-processing cannot get there, whatever the schedule. The images are few, easy to
see and unambiguous: crops at native resolution that cut no target and touch no ignored region.
"""

import json
import math
import os
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...apis.launch import load_config, use_mixed_precision
from ...config.random_start import start_from_random_weights
from ...config.types import type_name
from ...datasets.coco_files import read_coco
from ...datasets.wrappers import dataset_for_testing, leaves, part_for_testing, pipeline_steps
from ...engine import add_fitting_checks, require_checkpoint
from ...fileio import write_text
from ...visualization.figure_file import save_figure
from .overfit_crops import choose_crops, write_crops

METRICS = {
    'segm_mAP': 'coco/segm_mAP',
    'segm_mAP50': 'coco/segm_mAP_50',
    'bbox_mAP': 'coco/bbox_mAP',
    'bbox_mAP50': 'coco/bbox_mAP_50',
}
# They average weights over thousands of steps or change the data after some epochs.
_LONG_RUN_HOOKS = ('EMAHook', 'PipelineSwitchHook')
_SIZE_CHANGING = ('Resize', 'Pad', 'Fix')  # how the names of such transforms begin


def _innermost(dataset: ConfigDict) -> ConfigDict:
    """The data set inside wrappers such as ``ClassBalancedDataset``; of several, the first."""
    first = leaves(dataset)[0]
    if 'ann_file' not in first:
        raise ValueError(f'train_dataloader.dataset: expected a data set with an ann_file, got {type_name(first)!r}')
    return first


def _is_loading(step: dict) -> bool:
    return type_name(step).endswith('LoadAnnotations')


def _pipelines(cfg: Config) -> tuple[list[dict], list[dict]]:
    """Pipelines for training and testing without anything random and at native size.

    Steps and their order are those of the test pipeline; annotations are loaded and packed as in training.
    """
    train, test = pipeline_steps(cfg.train_dataloader.dataset), pipeline_steps(dataset_for_testing(cfg))
    loading = [step for step in train if _is_loading(step)]
    if len(loading) != 1 or not type_name(train[-1]).endswith('PackDetInputs'):
        raise ValueError(
            'train_dataloader: expected a pipeline with one LoadAnnotations and with PackDetInputs at its end, got '
            f'{[type_name(step) for step in train]}'
        )
    kept = [step for step in test if not _is_loading(step) and not type_name(step).startswith(_SIZE_CHANGING)]
    native = [{'type': 'Resize', 'scale_factor': 1.0, 'keep_ratio': True}]  # mask heads read the factor
    steps = deepcopy([kept[0], *native, *kept[1:-1]])
    return [*steps, *deepcopy(loading), deepcopy(train[-1])], [*steps, deepcopy(kept[-1])]


def _scored(cfg: Config) -> list[str]:
    """``'bbox'``, ``'segm'`` or both, as the config's own test scores them."""
    evaluator = part_for_testing(cfg, 'test_evaluator')
    evaluators = evaluator if isinstance(evaluator, list) else [evaluator]
    metric = next((evaluator.metric for evaluator in evaluators if 'metric' in evaluator), ['bbox', 'segm'])
    return [metric] if isinstance(metric, str) else list(metric)


def adapt_config(
    cfg: Config, data_root: Path, steps: int, eval_every: int, batch: int, lr: float, seed: int, from_scratch: bool
) -> None:
    """Changes a config in place: trains and tests on the data set in ``data_root``, for a few steps.

    Model, loading of annotations and packing stay the config's own.

    Args:
        cfg: Any detector's config.
        data_root: See :func:`.overfit_crops.write_crops`.
        steps: Of training.
        eval_every: Steps between evaluations.
        batch: Images of a step.
        lr: Learning rate of AdamW after warm-up.
        seed: Of all random numbers.
        from_scratch: No pretrained weights; nothing of the backbone is frozen.
    """
    train_pipeline, test_pipeline = _pipelines(cfg)
    inner = _innermost(cfg.train_dataloader.dataset)
    common = {
        'type': inner.type,
        'data_root': f'{data_root}/',
        'ann_file': 'annotations/train.json',
        'data_prefix': {'img': 'images/'},
    }
    if 'metainfo' in inner:
        common['metainfo'] = inner.metainfo
    loader = {'num_workers': 0, 'collate_fn': cfg.train_dataloader.get('collate_fn', {'type': 'pseudo_collate'})}
    cfg.train_dataloader = {
        **loader,
        'batch_size': batch,
        'sampler': {'type': 'InfiniteSampler', 'shuffle': True},
        'dataset': {**common, 'pipeline': train_pipeline},
    }
    cfg.val_dataloader = {
        **loader,
        'batch_size': 1,
        'sampler': {'type': 'DefaultSampler', 'shuffle': False},
        'dataset': {**common, 'pipeline': test_pipeline, 'test_mode': True},
    }
    cfg.val_evaluator = {
        'type': 'IRCocoMetric',
        'ann_file': f'{data_root}/annotations/train.json',
        'metric': _scored(cfg),
    }
    cfg.train_cfg = {'type': 'IterBasedTrainLoop', 'max_iters': steps, 'val_interval': eval_every}
    cfg.val_cfg = {'type': 'ValLoop'}
    # The images learned are what the outcome can be tested on, drawn with and exported for.
    cfg.test_dataloader, cfg.test_evaluator = deepcopy(cfg.val_dataloader), deepcopy(cfg.val_evaluator)
    cfg.test_cfg = {'type': 'TestLoop'}
    cfg.optim_wrapper = {
        'type': 'OptimWrapper',
        'optimizer': {'type': 'AdamW', 'lr': lr, 'weight_decay': 1e-4},
        'clip_grad': {'max_norm': 10},
    }
    warmup, decay = max(1, steps // 20), max(1, 2 * steps // 5)
    cfg.param_scheduler = [
        {'type': 'LinearLR', 'start_factor': 0.01, 'by_epoch': False, 'begin': 0, 'end': warmup},
        {
            'type': 'CosineAnnealingLR',
            'eta_min_ratio': 0.02,
            'by_epoch': False,
            'T_max': decay,
            'begin': steps - decay,
            'end': steps,
        },
    ]
    cfg.default_hooks = {
        'logger': {'type': 'LoggerHook', 'interval': eval_every},
        'checkpoint': None,
        'timer': {'type': 'IterTimerHook'},
    }
    cfg.custom_hooks = [hook for hook in cfg.get('custom_hooks', []) if type_name(hook) not in _LONG_RUN_HOOKS]
    cfg.log_processor = {'type': 'LogProcessor', 'by_epoch': False}
    cfg.log_level = 'WARNING'
    cfg.randomness = {'seed': seed}
    cfg.resume = False
    preprocessor = cfg.model.get('data_preprocessor')
    if preprocessor is not None:
        preprocessor.batch_augments = None
        preprocessor.pad_size_divisor = math.lcm(32, preprocessor.get('pad_size_divisor') or 1)
    if from_scratch:
        start_from_random_weights(cfg)


@dataclass
class LearningCurve:
    """What happened.

    Attributes:
        losses: Each term of the loss (``loss`` is their sum), one value a step.
        evaluations: ``step``, ``seconds`` since the start, and the metrics of :data:`METRICS` as fractions.
        targets: Smallest values asked for, by metric.
    """

    targets: dict[str, float]
    losses: dict[str, list[float]] = field(default_factory=dict)
    evaluations: list[dict[str, float]] = field(default_factory=list)

    def passed(self, last: int = 1) -> bool:
        """Whether each of the last evaluations met all targets."""
        recent = self.evaluations[-last:]
        return len(recent) == last and all(
            evaluation[name] >= value for evaluation in recent for name, value in self.targets.items()
        )


class _CurveHook(Hook):
    """Notes losses and metrics, and ends the training when the targets were met twice in a row."""

    priority = 'LOWEST'

    def __init__(self, curve: LearningCurve, report: Callable[[dict], None]) -> None:
        self.curve = curve
        self.report = report
        self.start = time.perf_counter()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        losses = {name: float(value.detach()) for name, value in outputs.items() if 'loss' in name}
        for name, value in losses.items():
            self.curve.losses.setdefault(name, []).append(value)
        if not math.isfinite(losses['loss']):
            raise ValueError(f'step {runner.iter + 1}: expected a finite loss, got {losses}')

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        values = {name: metrics[key] for name, key in METRICS.items() if key in metrics}
        evaluation = {'step': runner.iter, 'seconds': time.perf_counter() - self.start, **values}
        self.curve.evaluations.append(evaluation)
        self.report(evaluation)
        if self.curve.passed(last=2):
            runner.train_loop.stop_training = True


def draw_curve(curve: LearningCurve, title: str, path: Path) -> None:
    """Loss and mAP50 over the steps, as a picture."""
    figure = Figure(figsize=(7, 4), dpi=120, layout='constrained')
    FigureCanvasAgg(figure)
    left = figure.add_subplot(title=title, xlabel='step', ylabel='loss', yscale='log')
    total = curve.losses['loss']
    left.plot(range(1, len(total) + 1), total, color='0.6', linewidth=0.8, label='loss')
    right = left.twinx()
    right.set(ylabel='mAP50 on the same images', ylim=(0, 1.02))
    steps = [evaluation['step'] for evaluation in curve.evaluations]
    for name, label, color in (('segm_mAP50', 'masks', 'tab:red'), ('bbox_mAP50', 'boxes', 'tab:blue')):
        if name not in curve.evaluations[0]:
            continue
        right.plot(steps, [e[name] for e in curve.evaluations], marker='o', color=color, label=f'mAP50, {label}')
        if name in curve.targets:
            right.axhline(curve.targets[name], color=color, linestyle=':', linewidth=1)
    right.legend(loc='center right')
    save_figure(figure, path)


def _places(cfg: Config) -> tuple[str, str]:
    """Annotation file and image folder of the training data."""
    source = _innermost(cfg.train_dataloader.dataset)
    root = source.get('data_root') or ''
    return os.path.join(root, source.ann_file), os.path.join(root, source.data_prefix.img)


def _require_effects(cfg: Config, config: str, options: dict, settings: tuple, places: tuple[str, str]) -> None:
    """Refuses options of what this training has its own settings for."""
    for key in options:
        others = {name: value for name, value in options.items() if name != key}
        without = load_config(config, others, cfg.work_dir)
        same_data = _places(without) == places
        adapt_config(without, *settings)
        if same_data and without.to_dict() == cfg.to_dict():
            raise ValueError(
                f'--cfg-options {key}: this tool sets it itself and would not read it; expected options of the model, '
                f'the training data, its pipeline or load_from, or the options of the tool (--help)'
            )


def overfit(
    config: str,
    *,
    targets: dict[str, float],
    images: int = 8,
    steps: int = 400,
    eval_every: int = 50,
    size: tuple[int, int] = (320, 256),
    min_area: float = 100,
    max_targets: int = 6,
    batch: int = 4,
    lr: float = 1e-3,
    seed: int = 0,
    amp: bool = False,
    from_scratch: bool = False,
    work_dir: str | None = None,
    cfg_options: dict | None = None,
    report: Callable[[dict], None] = lambda evaluation: None,
) -> LearningCurve:
    """Trains a config's model on a few images of its own training set and tests it on the same ones.

    Writes ``data/``, ``curve.json``, ``curve.png`` and ``last.pth`` to ``work_dir``. Ends early when the targets were
    met in two evaluations in a row.

    Args:
        config: File name.
        targets: Smallest values of metrics, by the names in :data:`METRICS`.
        images: Number of images.
        steps: Of training.
        eval_every: Steps between evaluations.
        size: Width and height of the crops that larger images are reduced to.
        min_area: Smallest target in square pixels.
        max_targets: Largest number of targets of an image.
        batch: Images of a step.
        lr: Learning rate.
        seed: Of all random numbers.
        amp: Mixed precision.
        from_scratch: No pretrained weights; nothing of the backbone is frozen.
        work_dir: Default is ``work_dirs/overfit/NAME_OF_CONFIG``.
        cfg_options: Dotted keys of the config and their values; those that nothing of this training reads are refused.
        report: Called after each evaluation.

    Returns:
        Losses and metrics over the steps.
    """
    if unknown := set(targets) - set(METRICS):
        raise ValueError(f'targets: expected names out of {list(METRICS)}, got {sorted(unknown)}')
    if not 0 < eval_every <= steps:
        raise ValueError(f'eval_every: expected a number from 1 to steps={steps}, got {eval_every}')
    cfg = load_config(config, cfg_options, work_dir or str(Path('work_dirs', 'overfit', Path(config).stem)))
    if unscored := {name for name in targets if name.split('_')[0] not in _scored(cfg)}:
        raise ValueError(f'{config}: expected a test_evaluator that yields {sorted(unscored)}, got {_scored(cfg)}')
    ann_file, folder = _places(cfg)
    image_key = _innermost(cfg.train_dataloader.dataset).get('image_key', 'file_name')
    coco = read_coco(ann_file, masks=True)
    crops = choose_crops(coco, images, size, min_area, max_targets, ann_file)
    out = Path(cfg.work_dir)
    own = (out / 'data', steps, eval_every, batch, lr, seed, from_scratch)
    adapt_config(cfg, *own)
    _require_effects(cfg, config, cfg_options or {}, own, (ann_file, folder))
    write_crops(crops, coco['categories'], folder, out / 'data', image_key)
    if cfg.get('load_from') is not None:
        require_checkpoint(cfg.load_from)
    if amp:
        use_mixed_precision(cfg)
    settings = {
        'config': config,
        'cfg_options': cfg_options,
        'seed': seed,
        'images': images,
        'size': list(size),
        'targets_in_images': sum(len(crop.annotations) for crop in crops),
        'steps': steps,
        'batch': batch,
        'lr': lr,
        'amp': amp,
        'from_scratch': from_scratch,
    }
    curve = LearningCurve(targets)

    def save_and_report(evaluation: dict) -> None:
        content = {'settings': settings, 'passed': curve.passed(), **asdict(curve)}
        write_text(out / 'curve.json', json.dumps(content, indent=1))
        draw_curve(curve, Path(config).stem, out / 'curve.png')
        report(evaluation)

    runner = Runner.from_cfg(cfg)
    add_fitting_checks(runner, training=True)
    runner.register_hook(_CurveHook(curve, save_and_report))
    runner.train()
    runner.save_checkpoint(str(out), 'last.pth', save_optimizer=False, save_param_scheduler=False)
    return curve
