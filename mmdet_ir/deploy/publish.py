"""Makes a trained model part of the package: config, weights in half precision, INT8 file, metafile and card."""

import io
import json
import os
from pathlib import Path

import torch
import yaml
from mmengine.config import Config
from mmengine.runner import CheckpointLoader

from ..config.options import read_config
from ..datasets.wrappers import leaves
from ..engine.fitting.weights import check_finite, check_scored_classes
from ..fileio import read_json, refuse_overwriting, write_text
from ..markdown import markdown_table
from ..model_zoo import CARD, CONFIG, INT8, METAFILE, ROOT, WEIGHTS, checksum

MAX_WEIGHTS, MAX_INT8 = 8 * 2**20, 5 * 2**20  # bytes
SCORES, FILES = 'scores', 'files'  # parts of the card that are written anew
_COLUMNS = {'targets': 'targets', 'mAP': 'mask mAP', 'mAP50': 'mask AP50', 'mAPs': 'small', 'mAPm': 'medium'}


def publish_model(
    name: str,
    config: str | os.PathLike,
    checkpoint: str | os.PathLike,
    scores: dict[str, str | os.PathLike],
    *,
    exported: str | os.PathLike | None = None,
    options: dict | None = None,
    root: str | os.PathLike = ROOT,
) -> Path:
    """Writes or renews a model of the package.

    The card keeps its text; only what stands between ``<!-- scores:begin -->`` and ``<!-- scores:end -->`` and between
    the marks of ``files`` is written anew.

    Args:
        name: Of the model.
        config: The config that it was trained with.
        checkpoint: Its checkpoint.
        scores: By title, such as ``'dev, 602 images'``, what ``tools/test.py`` wrote (``metrics_test.json``).
        exported: INT8 file (ONNX) that ``tools/deploy/quantize.py`` wrote, if there is one.
        options: Settings that replace the config's in the package, such as ``model.backbone.imagenet=False``.
        root: Where the models are.

    Returns:
        The folder.

    Raises:
        FileNotFoundError: If a file is missing, or the card is (its text is to be written by hand).
        ValueError: If the files are larger than the package may carry, the card lacks the marks, the scores are not
            of boxes and masks or not of the checkpoint's classes, or weights are not finite in half precision.
    """
    folder = Path(root, name)
    card = folder / CARD
    if not card.is_file():
        raise FileNotFoundError(f'expected the card {card}, whose text is written by hand')
    for file, given in ((WEIGHTS, checkpoint), (CONFIG, config)):
        refuse_overwriting(folder / file, (given,), 'model')
    text = card.read_text(encoding='utf-8')
    for part in (SCORES, FILES):
        _replace(text, part, '', card)
    cfg = read_config(str(config), options)
    for key in ('work_dir', 'launcher', 'load_from', 'resume'):
        cfg.pop(key, None)
    metrics = {title: _metrics(path) for title, path in scores.items()}
    content = CheckpointLoader.load_checkpoint(str(checkpoint), map_location='cpu')
    for title, path in scores.items():
        check_scored_classes(content, metrics[title], str(checkpoint), str(path))
    slim = half_precision(content)
    slim['meta']['cfg'] = cfg.pretty_text  # (a copy of the file tells what its model computes)
    check_finite(slim['state_dict'], f'{checkpoint} (in half precision)')
    weights = io.BytesIO()
    torch.save(slim, weights)
    files = {WEIGHTS: (weights.getvalue(), MAX_WEIGHTS)}
    if exported is not None:
        files[INT8] = (Path(exported).read_bytes(), MAX_INT8)
    for file, (data, limit) in files.items():
        if len(data) > limit:
            raise ValueError(f'{folder / file}: expected at most {limit} bytes in the package, got {len(data)}')
    for file, (data, _) in files.items():
        (folder / file).write_bytes(data)
    write_text(folder / CONFIG, cfg.pretty_text)
    checksums = {file: checksum(folder / file) for file in files}
    metadata = {'Training Data': _training_data(cfg), 'Iterations': content.get('meta', {}).get('iter')}
    metafile = _metafile(name, Path(config).as_posix(), metadata, metrics, checksums)
    write_text(folder / METAFILE, yaml.safe_dump(metafile, sort_keys=False, allow_unicode=True, width=119))
    text = _replace(text, SCORES, '\n\n'.join(_score_table(*entry) for entry in metrics.items()), card)
    rows = [(f'`{file}`', f'{(folder / file).stat().st_size / 1e6:.1f} MB', f'`{checksums[file]}`') for file in files]
    text = _replace(text, FILES, markdown_table(('file', 'size', 'SHA-256'), rows), card)
    write_text(card, text)
    return folder


def _metrics(path: str | os.PathLike) -> dict:
    """By kind, class and column; see ``IRCocoMetric``."""
    content = read_json(path)
    metrics = content.get('metrics') if isinstance(content, dict) else None
    if not isinstance(metrics, dict) or not {'bbox', 'segm'} <= set(metrics):
        raise ValueError(
            f'{path}: expected scores of boxes and masks as tools/test.py writes them (metrics_test.json)'
        )
    return metrics


def half_precision(content: dict) -> dict:
    """What others need of a checkpoint, at a sixth of its size: no optimiser, kernels in half precision.

    Args:
        content: As a training has saved it.

    Returns:
        ``state_dict``, whose kernels and matrices are in float16 and other numbers as they are, and of ``meta`` the
        classes, the iteration and the seed.

    Example:
        >>> import torch
        >>> slim = half_precision({'state_dict': {'fc.weight': torch.ones(2, 2), 'fc.bias': torch.ones(2)}})
        >>> slim['state_dict']['fc.weight'].dtype, slim['state_dict']['fc.bias'].dtype
        (torch.float16, torch.float32)
    """
    weights = content.get('state_dict', content)
    meta = content.get('meta', {})
    kept = {key: meta[key] for key in ('dataset_meta', 'iter', 'seed') if key in meta}
    return {
        'meta': json.loads(json.dumps(kept, default=list)),
        'state_dict': {
            key: value.half() if value.is_floating_point() and value.ndim > 1 else value.clone()
            for key, value in weights.items()
        },
    }


def _training_data(cfg: Config) -> str:
    parts = leaves(cfg.train_dataloader.dataset)
    files = [Path(part.get('data_root') or '', part.get('ann_file') or '').as_posix() for part in parts]
    return ', '.join(dict.fromkeys(files))


def _metafile(name: str, config: str, metadata: dict, metrics: dict, checksums: dict[str, str]) -> dict:
    results = [
        {
            'Task': 'Instance Segmentation',
            'Dataset': title,
            'Metrics': {
                'mask AP': _percent(found['segm']['all']['mAP']),
                'mask AP50': _percent(found['segm']['all']['mAP50']),
                'box AP': _percent(found['bbox']['all']['mAP']),
            },
        }
        for title, found in metrics.items()
    ]
    return {
        'Models': [
            {
                'Name': name,
                'In Collection': 'mmdet_ir',
                'Config': config,
                'Metadata': metadata,
                'Results': results,
                'Weights': WEIGHTS,
                'SHA-256': checksums,
            }
        ]
    }


def _percent(value: float | None) -> float | None:
    return None if value is None else round(100 * value, 1)


def _score_table(title: str, metrics: dict) -> str:
    rows = [
        (label, *(_cell(values.get(key), key) for key in _COLUMNS))
        for label, values in sorted(metrics['segm'].items())
    ]
    return f'**{title}**\n\n' + markdown_table(('class', *_COLUMNS.values()), rows)


def _cell(value: float | None, key: str) -> str:
    if value is None:
        return '-'
    return str(value) if key == 'targets' else f'{100 * value:.1f}'


def _replace(text: str, part: str, content: str, card: Path) -> str:
    begin, end = f'<!-- {part}:begin -->', f'<!-- {part}:end -->'
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f'{card}: expected the marks {begin} and {end}')
    return f'{before}{begin}\n{content}\n{end}{after}'
