"""Records of finished runs: one JSON file per run, with all that is needed to judge or repeat its numbers."""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from mmengine.runner import CheckpointLoader, find_latest_checkpoint

from ..config.options import read_config
from ..config.types import type_name
from ..datasets.wrappers import leaves
from ..engine.config_hash import config_hash, config_settings
from ..engine.environment import ENVIRONMENT_FILE, collect_environment
from ..engine.fitting.weights import check_scored_classes
from ..fileio import read_json, write_text

_TIMESTAMP = re.compile(r'^(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) - ')
_TRAIN_LINE = re.compile(r' (Epoch|Iter)\(train\) ')


def config_difference(base: Config, other: Config) -> dict:
    """Settings of ``other`` that differ from ``base``, by dotted name; ``None`` where ``other`` lacks one."""
    old, new = dict(_flatten(config_settings(base))), dict(_flatten(config_settings(other)))
    return {key: new.get(key) for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)}


def _flatten(settings: dict, prefix: str = '') -> Iterator[tuple[str, object]]:
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            yield from _flatten(value, f'{prefix}{key}.')
        else:
            yield prefix + key, value


def data_fingerprint(dataset: ConfigDict) -> list[dict]:
    """Annotation files of a data set's config, wrapped or concatenated ones too.

    Returns:
        For each file its path as the config gives it, the SHA-256 of what it says about images and targets, and its
        number of images. ``info``, which tells who made the file and when, does not count, nor does the order of keys.
    """
    found = []
    for leaf in leaves(dataset):
        path = Path(leaf.get('data_root') or '', leaf['ann_file'])
        if not path.is_file():
            raise FileNotFoundError(
                f'{path}: annotation file of the run not found; records need it for the fingerprint'
            )
        content = {key: value for key, value in read_json(path).items() if key != 'info'}
        text = json.dumps(content, sort_keys=True, separators=(',', ':'))
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        found.append({'ann_file': str(path), 'sha256': sha256, 'images': len(content['images'])})
    return found


def training_sessions(work_dir: str | os.PathLike) -> list[Path]:
    """Log folders of the sessions of the last run in a work folder, oldest first.

    A run is one session that started anew and those that resumed it; earlier runs in the same folder do not count.
    """
    sessions = []
    for log in sorted(Path(work_dir).glob('*/*.log')):
        with log.open(encoding='utf-8') as lines:
            trained = any(_TRAIN_LINE.search(line) for line in lines)
        if trained:
            resumed = _session_config(log.parent).get('resume', False)
            sessions = [*sessions, log.parent] if resumed else [log.parent]
    if not sessions:
        raise FileNotFoundError(f'{work_dir}: expected <time>/<time>.log of a training run, found none')
    if _session_config(sessions[0]).get('resume', False):
        raise ValueError(f'{work_dir}: expected the session that started the run, found only sessions that resumed it')
    return sessions


def _session_config(session: Path) -> Config:
    return Config.fromfile(session / 'vis_data' / 'config.py')  # LocalVisBackend's copy


def wall_time(session: str | os.PathLike) -> float:
    """Seconds from the first to the last line of a session's log: set-up, training and validation."""
    times = []
    for log in Path(session).glob('*.log'):
        with log.open(encoding='utf-8') as lines:
            times += [match[1] for line in lines if (match := _TIMESTAMP.match(line))]
    first, last = (datetime.strptime(time, '%Y/%m/%d %H:%M:%S') for time in (min(times), max(times)))
    return (last - first).total_seconds()


def count_parameters(config: Config) -> int:
    """Number of parameters, frozen ones too; buffers (running means) do not count."""
    init_default_scope(config.get('default_scope', 'mmdet'))
    return sum(parameter.numel() for parameter in MODELS.build(config.model).parameters())


def _precision(config: Config) -> str:
    wrapper = config.optim_wrapper
    dtypes = {'AmpOptimWrapper': wrapper.get('dtype', 'float16'), 'Bf16OptimWrapper': 'bfloat16'}
    return dtypes.get(type_name(wrapper), 'float32')


def _tested_checkpoint(
    metrics_json: str | os.PathLike, iteration: int | None, work_dir: str | os.PathLike, sessions: list[Path]
) -> str | None:
    """Name of the weights that the metrics belong to; ``None`` if the metrics lie outside a test run's log folder.

    Raises:
        ValueError: If these weights are not of the run.
    """
    session = Path(metrics_json).resolve().parent
    logged = (session / 'vis_data').is_dir()
    if iteration is not None:
        if logged and session not in [one.resolve() for one in sessions]:
            raise ValueError(
                f'{metrics_json}: expected the metrics of the run in {work_dir}, got those of a validation in another '
                f'run, {session}'
            )
        return f'iteration {iteration}'
    if not logged:
        return None
    tested = Path(_session_config(session).load_from)
    belongs = tested.resolve().is_relative_to(Path(work_dir).resolve()) if tested.is_file() else None
    if belongs is None:  # (the folder was moved, or the path was relative to another one)
        belongs = Path(work_dir, tested.name).is_file()
    if not belongs:
        raise ValueError(
            f'{metrics_json}: expected the metrics of a checkpoint in {work_dir}, got those of {tested}; give the '
            'folder of its run, or the metrics of a test of the run'
        )
    return tested.name


def _scores(path: str | os.PathLike) -> dict:
    content = read_json(path)
    wanted = {'metrics', 'iteration', 'ann_file', 'images'}
    if not wanted <= set(content) or not isinstance(content['metrics'], dict):
        raise ValueError(
            f'{path}: expected scores as tools/test.py saves them (metrics_test.json), got {sorted(content)}'
        )
    return content


def make_record(
    config: str | os.PathLike,
    work_dir: str | os.PathLike,
    metrics_json: str | os.PathLike,
    title: str,
    data_title: str,
) -> dict:
    """Gathers the record of a finished run.

    Args:
        config: Config file that the run was started with.
        work_dir: The run's folder, with the logs and configs that mmengine keeps there and the last checkpoint.
        metrics_json: What ``IRCocoMetric`` saved when the trained model was tested.
        title: Name of the model in tables.
        data_title: Name of the data in tables.

    Returns:
        The record, ready for ``json.dump``. ``environment_from`` says whether commit, hardware and versions were
        noted when the training started (by ``EnvironmentHook``, which adds ``initial_weights``) or only now.

    Raises:
        FileNotFoundError: If logs, checkpoint or an annotation file of the run are missing.
        ValueError: If the metrics are those of another model: the weights that were tested are not of the run, as far
            as the test's own log folder tells, or the classes are others.
    """
    metrics = _scores(metrics_json)
    sessions = training_sessions(work_dir)
    used = _session_config(sessions[0])
    noted = sessions[0] / ENVIRONMENT_FILE
    environment = json.loads(noted.read_text()) if noted.is_file() else collect_environment()

    last = find_latest_checkpoint(str(work_dir))
    if last is None:
        raise FileNotFoundError(f'{work_dir}: expected the checkpoint of a finished run, found none')
    checkpoint = CheckpointLoader.load_checkpoint(str(Path(work_dir, Path(last).name)), map_location='cpu')
    tested = _tested_checkpoint(metrics_json, metrics['iteration'], work_dir, sessions)
    check_scored_classes(checkpoint, metrics['metrics'], f'the run in {work_dir}', str(metrics_json))
    return {
        'kind': 'run',
        'provenance': 'measured',
        'title': title,
        'data_title': data_title,
        'config': Path(config).as_posix(),
        'config_sha256': config_hash(used),
        'config_overrides': config_difference(read_config(str(config)), used),
        'environment_from': 'start of the training' if noted.is_file() else 'time of recording',
        **environment,
        'seed': checkpoint['meta']['seed'],
        'precision': _precision(used),
        'data': {
            'train': data_fingerprint(used.train_dataloader.dataset),
            'test': data_fingerprint(ConfigDict(ann_file=metrics['ann_file'])),
        },
        'training': {
            'epochs': checkpoint['meta']['epoch'],
            'iterations': checkpoint['meta']['iter'],
            'batch_size': used.train_dataloader.batch_size,
            'sessions': len(sessions),
            'wall_time_seconds': sum(wall_time(session) for session in sessions),
        },
        'parameters': count_parameters(used),
        'tested_checkpoint': tested,
        'tested_images': metrics['images'],
        **({'max_dets': metrics['max_dets']} if 'max_dets' in metrics else {}),
        'metrics': metrics['metrics'],
    }


def save_record(record: dict, path: str | os.PathLike) -> None:
    """Writes a record as JSON, as a whole or not at all.

    Example:
        >>> from mmdet_ir.experiments import load_records, save_record
        >>> save_record({'kind': 'run', 'title': 'a', 'data_title': 'b'}, 'records/a.json')
        >>> [record['title'] for record in load_records('records')]
        ['a']
    """
    write_text(path, json.dumps(record, indent=2, allow_nan=False) + '\n')
