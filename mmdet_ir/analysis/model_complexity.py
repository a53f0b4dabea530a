"""Parameters and multiply-adds of detectors, in the paper's way of counting and in ours."""

from copy import deepcopy
from pathlib import Path

import torch
from mmdet.registry import MODELS
from mmengine.fileio import load
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.flop_counter import FlopCounterMode

from ..benchmark.subject import Subject, make_batch, make_proposals, named_parts
from ..cli.choices import TABLE4
from ..config.options import read_config
from ..experiments.tables import PAPER_RESULTS
from ..markdown import markdown_table
from ..model_zoo import own_config

PAPER_CLASSES = 80


def paper_parameters() -> dict[str, float]:
    """Millions of parameters that Table 4 states, by the keys of :data:`TABLE4`."""
    results = load(PAPER_RESULTS)
    return {key: row[results['columns'].index('params')] for key, row in results['table4_models'].items()}


def set_num_classes(model: dict, num_classes: int) -> int:
    """Changes every ``num_classes`` in a detector's config, those of auxiliary heads too.

    Returns:
        How many there were.
    """
    changed = 0
    for key, value in model.items():
        if key == 'num_classes':
            model[key] = num_classes
            changed += 1
        for child in value if isinstance(value, list | tuple) else [value]:
            if isinstance(child, dict):
                changed += set_num_classes(child, num_classes)
    return changed


def count_parameters(module: nn.Module) -> int:
    """Values in all parameters, frozen ones too, each parameter once; buffers do not count."""
    return sum(parameter.numel() for parameter in module.parameters())


def count_batchnorm(module: nn.Module) -> int:
    """Those of them that are scales and shifts of batch normalisation."""
    return sum(count_parameters(m) for m in module.modules() if isinstance(m, _BatchNorm))


def build_without_weights(model: dict) -> nn.Module:
    """A detector whose parameters take no memory; good for counting only."""
    with torch.device('meta'):
        return MODELS.build(deepcopy(model))  # (DETR's head changes its config)


def parameter_counts(config: str) -> dict[str, int | dict[str, int]]:
    """Parameters of a config's model.

    Returns:
        ``as_trained``: all of the model with the config's own number of classes; ``parts``: the same for each part;
        ``paper``: with 80 classes, batch normalisation of the backbone left out.

    Raises:
        ValueError: If no number of classes is to be found in the config.
    """
    cfg = read_config(config)
    model = build_without_weights(cfg.model)
    parts = {name: count_parameters(part) for name, part in named_parts(model)}
    as_trained = count_parameters(model)
    if not set_num_classes(cfg.model, PAPER_CLASSES):
        raise ValueError(f'{config}: expected num_classes in the model, got none')
    many = build_without_weights(cfg.model)
    paper = count_parameters(many) - count_batchnorm(many.backbone)
    return {'as_trained': as_trained, 'parts': {k: n for k, n in parts.items() if n}, 'paper': paper}


def multiply_adds(model: nn.Module, *args: object, **kwargs: object) -> dict[str, int]:
    """Multiply-adds of convolutions and matrix products of one call, by part of the model.

    Everything else is left out: normalisation, activations, resizing, pooling, RoIAlign, NMS.

    Returns:
        For each part that computes something its count; ``elsewhere`` is what no part's ``forward`` does, such as
        products with predicted kernels; ``total`` is their sum.
    """
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(*args, **kwargs)
    # torch counts a multiplication and an addition as two operations
    flops = {name: sum(by_operator.values()) // 2 for name, by_operator in counter.get_flop_counts().items()}
    root = type(model).__name__
    parts = {name: flops.get(f'{root}.{name}', 0) for name, _ in named_parts(model)}
    total = flops.get('Global', 0)
    parts['elsewhere'] = total - sum(parts.values())
    return {**{name: count for name, count in parts.items() if count}, 'total': total}


def inference_multiply_adds(config: str, size: tuple[int, int]) -> dict[str, int]:
    """Multiply-adds of testing one image with 100 detections; two-stage detectors get 1000 proposals.

    Args:
        config: Config file; weights are random, and the score threshold is such that 100 detections are left.
        size: Width and height in pixels.
    """
    batch = make_batch(size, images=1, seed=0)
    subject = Subject(config, 'cpu', make_proposals(batch, 1000, seed=0))
    subject.keep_detections(batch)
    subject.model.eval()
    return multiply_adds(subject.model, **subject.preprocess(batch, training=False), mode='predict')


def complexity_row(config: str, size: tuple[int, int]) -> dict:
    """Everything that the table says about a model; ``paper`` is ``None`` where the paper has no such model."""
    keys = [key for key, name in TABLE4.items() if Path(own_config(name)).resolve() == Path(config).resolve()]
    stated = paper_parameters()[keys[0]] if keys else None
    return {
        'config': config,
        'parameters': parameter_counts(config),
        'stated': stated,
        'multiply_adds': inference_multiply_adds(config, size),
    }


def render_complexity(rows: list[dict], markdown: bool = False) -> str:
    """The rows of :func:`complexity_row` as a table; parameters in millions, multiply-adds in billions."""
    header = ['model', 'paper', "paper's counting", 'difference', 'as trained', 'multiply-adds', 'by part (M / G)']
    lines = []
    for row in rows:
        parameters, macs = row['parameters'], row['multiply_adds']
        paper = parameters['paper'] / 1e6
        stated = row['stated']
        names = list(dict.fromkeys([*parameters['parts'], *(name for name in macs if name != 'total')]))
        parts = [f'{n} {parameters["parts"].get(n, 0) / 1e6:.2f} / {macs.get(n, 0) / 1e9:.1f}' for n in names]
        lines.append(
            [
                Path(row['config']).stem,
                '-' if stated is None else f'{stated:.3f}',
                f'{paper:.3f}',
                '-' if stated is None else f'{round(paper, 3) - stated:+.3f}',
                f'{parameters["as_trained"] / 1e6:.3f}',
                f'{macs["total"] / 1e9:.1f}',
                ', '.join(parts),
            ]
        )
    if markdown:
        return markdown_table(header, lines, 'l' + 'r' * (len(header) - 2) + 'l')
    widths = [max(len(cells[i]) for cells in [header, *lines]) for i in range(len(header))]
    table = []
    for cells in [header, *lines]:
        aligned = [cells[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(cells[1:-1], widths[1:-1], strict=True))]
        table.append('  '.join([*aligned, cells[-1]]))
    return '\n'.join(table)
