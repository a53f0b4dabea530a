"""Scores under thermal conditions that the training did not have: corruptions of infrared images at five severities.

The protocol is that of Michaelis et al., "Benchmarking robustness in object detection: autonomous driving when winter
is coming", 2019: AP for each corruption and severity; mPC, the mean over severities, then over corruptions; rPC, that
relative to the AP on clean images. The corruptions are this project's augmentations of cameras and detectors.
"""

import json
import os
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from statistics import fmean

import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.runner import Runner

from ..apis.inference.inferencer import IRInferencer
from ..apis.launch import load_config, require_checkpoint
from ..datasets.wrappers import dataset_for_testing, leaves, part_for_testing
from ..engine.config_hash import config_hash
from ..evaluation.ir_coco_metric import separate_files
from ..fileio import read_json, write_text
from ..markdown import markdown_table
from ..model_zoo import checksum

SEVERITIES = (1, 2, 3, 4, 5)
CLEAN = 'clean'
METRICS = ('segm_mAP', 'segm_mAP_50', 'bbox_mAP')


def _each(kind: str, **settings: Sequence) -> tuple[dict, ...]:
    """A transform for each severity; ``settings`` hold the value of each, as an interval of this value alone."""
    return tuple(
        {'type': kind, 'prob': 1.0, **{name: (value, value) for name, value in zip(settings, values, strict=True)}}
        for values in zip(*settings.values(), strict=True)
    )


# Of each corruption the transform at each severity. Polarity has no degrees: it is the same at all of them.
CORRUPTIONS: dict[str, tuple[dict, ...]] = {
    'gain': _each('RandomGainOffset', gain=(0.7, 0.5, 0.35, 0.25, 0.15), offset=(0.0,) * 5),
    'offset': _each('RandomGainOffset', gain=(1.0,) * 5, offset=(-0.08, -0.16, -0.24, -0.32, -0.4)),
    'saturation': _each('RandomGainOffset', gain=(1.5,) * 5, offset=(0.1, 0.2, 0.3, 0.4, 0.5)),
    'polarity': ({'type': 'RandomPolarity', 'prob': 1.0},) * 5,
    'noise': _each('SensorNoise', temporal=(0.01, 0.02, 0.04, 0.06, 0.1), column=(0.0,) * 5, row=(0.0,) * 5),
    'fixed_pattern': _each(
        'SensorNoise',
        temporal=(0.0,) * 5,
        column=(0.01, 0.02, 0.03, 0.05, 0.08),
        row=(0.005, 0.01, 0.015, 0.025, 0.04),
    ),
    'blur': _each('OpticsBlur', sigma=(0.6, 1.0, 1.5, 2.0, 3.0)),
    'vignetting': _each('Vignetting', strength=(0.2, 0.35, 0.5, 0.65, 0.8), drift=(0.05, 0.08, 0.12, 0.16, 0.2)),
    'dead_pixels': _each('DeadPixels', fraction=(0.0005, 0.001, 0.003, 0.01, 0.03)),
}


def corrupted(cfg: Config, corruption: str, severity: int) -> Config:
    """A config whose test images are corrupted as they come from the camera: behind the loader, before tone mapping.

    Args:
        cfg: The config; stays as it is.
        corruption: A key of ``CORRUPTIONS``, or ``'clean'``.
        severity: 1 to 5.

    Raises:
        ValueError: If one of them is unknown.
    """
    cfg = deepcopy(cfg)
    if corruption == CLEAN:
        return cfg
    if corruption not in CORRUPTIONS or severity not in SEVERITIES:
        raise ValueError(
            f'expected a corruption of {", ".join(CORRUPTIONS)} and a severity of 1 to 5, got {corruption!r} and '
            f'{severity!r}'
        )
    for leaf in leaves(dataset_for_testing(cfg)):  # (with the loader, wherever the steps after it are)
        loader, *others = leaf.pipeline
        deep = loader.get('raw', False)  # counts fill a small part of their range
        transform = {**CORRUPTIONS[corruption][severity - 1], 'value_range': 'image' if deep else None}
        leaf.pipeline = [loader, {'type': 'SeededByImage', 'transforms': [transform]}, *others]
    return cfg


def measure_robustness(
    config: str | os.PathLike,
    checkpoint: str | os.PathLike,
    out: str | os.PathLike,
    *,
    corruptions: Sequence[str] = tuple(CORRUPTIONS),
    severities: Sequence[int] = SEVERITIES,
    device: str | None = None,
    cfg_options: dict | None = None,
) -> dict:
    """Scores a model on clean and on corrupted test images.

    The file is written after each score; a run that was interrupted goes on from there.

    Args:
        config: Config file, or the name of a model that comes with the package.
        checkpoint: Trained weights.
        out: JSON file.
        corruptions: Keys of ``CORRUPTIONS``.
        severities: Of 1 to 5.
        device: Defaults to the GPU if there is one.
        cfg_options: Settings that replace the config's.

    Returns:
        What the file holds: ``model`` (what was scored), ``scores`` by corruption and severity, and ``summary``.

    Raises:
        FileNotFoundError: If config or checkpoint is missing.
        ValueError: If an argument is unknown, the checkpoint does not fit, or the file is of another config,
            checkpoint or data set.
    """
    cfg = load_config(str(config), cfg_options)
    jobs = list(_jobs(corruptions, severities))
    for corruption, severity in jobs:
        corrupted(cfg, corruption, severity)
    path = Path(out)
    model = {
        'config': Path(config).name,
        'config_sha256': config_hash(cfg),
        'checkpoint_sha256': checksum(require_checkpoint(str(checkpoint))),
        'data_sha256': {file: checksum(file) for file in _annotation_files(cfg)},
        'options': {name: str(value) for name, value in (cfg_options or {}).items()},
    }
    record = read_json(path) if path.is_file() else {'model': model, 'scores': {}}
    _check_same(record['model'], model, path)
    missing = [job for job in jobs if str(job[1]) not in record['scores'].get(job[0], {})]
    inferencer = IRInferencer(cfg, checkpoint, device, show_progress=False) if missing else None
    for corruption, severity in missing:
        scores = _score(inferencer, corrupted(cfg, corruption, severity))
        record['scores'].setdefault(corruption, {})[str(severity)] = scores
        record['summary'] = summarize(record['scores'])
        write_text(path, json.dumps(record, indent=1))
    return record


def summarize(scores: dict[str, dict[str, dict[str, float]]]) -> dict:
    """Means of mask AP.

    Args:
        scores: By corruption and severity, ``'clean'`` at severity 0.

    Returns:
        ``clean``; ``by_corruption``, the mean over severities; ``mPC``, their mean; ``rPC``, that relative to clean.
        What cannot be worked out is ``None``.
    """
    clean = scores.get(CLEAN, {}).get('0', {}).get('segm_mAP')
    means = {
        name: fmean(found['segm_mAP'] for found in by_severity.values())
        for name, by_severity in scores.items()
        if name != CLEAN
    }
    mean = fmean(means.values()) if means else None
    relative = mean / clean if mean is not None and clean else None
    return {'clean': clean, 'by_corruption': means, 'mPC': mean, 'rPC': relative}


def robustness_table(records: dict[str, dict]) -> str:
    """Markdown: a line for each corruption, a column for each model, percent of mask AP.

    Args:
        records: What :func:`measure_robustness` returned, by name.

    Raises:
        ValueError: If the records are not of the same corruptions and severities, or not of the same data.
    """
    data = {name: sorted(record.get('model', {}).get('data_sha256', {}).values()) for name, record in records.items()}
    known = [name for name, sums in data.items() if sums]  # (older files do not tell)
    for name in known:
        if data[name] != data[known[0]]:
            raise ValueError(
                f'expected scores on the same annotations in all files, got others in {known[0]} and {name}'
            )
    kinds = {name: {key: sorted(found) for key, found in record['scores'].items()} for name, record in records.items()}
    first = next(iter(kinds))
    for name, kind in kinds.items():
        if kind != kinds[first]:
            raise ValueError(
                f'expected the same corruptions and severities in all files, got others in {first} and {name}'
            )
    summaries = [record['summary'] for record in records.values()]
    rows = [('clean', *(_percent(s['clean']) for s in summaries))]
    rows += [
        (name.replace('_', ' '), *(_percent(s['by_corruption'][name]) for s in summaries))
        for name in summaries[0]['by_corruption']
    ]
    rows += [('mean (mPC)', *(_percent(s['mPC']) for s in summaries))]
    rows += [('relative to clean (rPC)', *(_percent(s['rPC']) for s in summaries))]
    return markdown_table(('', *records), rows)


def _annotation_files(cfg: Config) -> list[str]:
    """The annotation files of a config's test set and of its metrics, as far as they are on this machine."""
    evaluator = part_for_testing(cfg, 'test_evaluator')
    metrics = evaluator if isinstance(evaluator, list) else [evaluator]
    parts = leaves(dataset_for_testing(cfg))
    files = [Path(part.get('data_root') or '', part.get('ann_file') or '') for part in parts]
    files += [Path(metric.get('ann_file') or '') for metric in metrics]
    return list(dict.fromkeys(str(file) for file in files if file.is_file()))


def _check_same(saved: dict, model: dict, path: Path) -> None:
    """Refuses saved scores of which config, checkpoint, data or options are others."""
    differences = [
        f'{name} was {saved.get(name)} and is {model.get(name)}'
        for name in {**saved, **model}
        if saved.get(name) != model.get(name)
    ]
    if differences:
        raise ValueError(
            f'{path}: expected scores of the config, checkpoint, data and options that are asked for, got those of '
            f'others: {"; ".join(differences)}; choose another file'
        )


def _percent(value: float | None) -> str:
    return '-' if value is None else f'{100 * value:.1f}'


def _jobs(corruptions: Sequence[str], severities: Sequence[int]) -> Iterator[tuple[str, int]]:
    yield CLEAN, 0
    for corruption in corruptions:
        for severity in severities:
            yield corruption, severity


@torch.inference_mode()
def _score(inferencer: IRInferencer, cfg: Config) -> dict[str, float]:
    """Scores of the first metric that has them, whatever its prefix is."""
    loader = Runner.build_dataloader(part_for_testing(cfg), seed=0)
    evaluator = Evaluator(part_for_testing(cfg, 'test_evaluator'))
    separate_files(evaluator.metrics)
    evaluator.dataset_meta = loader.dataset.metainfo
    for batch in loader:
        evaluator.process(inferencer.model.test_step(batch), batch)
    found = evaluator.evaluate(len(loader.dataset))
    keys = {name: next((key for key in found if key.rpartition('/')[2] == name), None) for name in METRICS}
    if keys[METRICS[0]] is None:
        raise ValueError(
            f'{cfg.filename}: test_evaluator: expected a metric that scores masks ({METRICS[0]}), got {sorted(found)}'
        )
    return {name: found[key] for name, key in keys.items() if key is not None}
