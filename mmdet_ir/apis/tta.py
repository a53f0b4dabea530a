"""Test-time augmentation of a config that says nothing about it: its test pipeline, flipped and scaled."""

from collections.abc import Sequence
from copy import deepcopy

from mmdet.models.dense_heads import MaskFormerHead, RTMDetInsHead
from mmdet.models.test_time_augs import DetTTAModel
from mmengine.config import Config, ConfigDict
from mmengine.model import is_model_wrapper
from torch import nn

from ..config.types import type_name, typed_dicts
from ..datasets.wrappers import dataset_for_testing, wrapped

FLIPS = ('horizontal', 'vertical', 'diagonal')
_META_KEYS = ('img_id', 'img_path', 'page', 'ori_shape', 'img_shape', 'scale_factor', 'flip', 'flip_direction')
_RESIZES = ('Resize', 'FixScaleResize')
_LOADING = ('LoadImageFromFile', 'LoadIRImageFromFile', 'ToneMapping')


def set_tta(cfg: Config) -> None:
    """Puts test-time augmentation into a config.

    The config's own ``tta_pipeline`` and ``tta_model`` stay as they are. Without them the views are those of
    ``tta_views`` (``flips`` and ``scales`` of :func:`views_pipeline`), by default the image and its mirror image, and
    ``IRTTAModel`` merges them.

    Raises:
        ValueError: If ``tta_views`` has other keys, or stands beside ``tta_pipeline``, and if the latter loads images
            in another way than the test.
    """
    views = cfg.get('tta_views') or {}
    if set(views) - {'flips', 'scales'}:
        raise ValueError(f"tta_views: expected the keys 'flips' and 'scales', got {sorted(views)}")
    if views and cfg.get('tta_pipeline') is not None:
        raise ValueError('tta_views: expected either tta_views or tta_pipeline in the config, got both')
    cfg.setdefault('tta_model', {'type': 'IRTTAModel'})
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
    _set_pipelines(dataset_for_testing(cfg), cfg.get('tta_pipeline'), views)


def _set_pipelines(dataset: ConfigDict, pipeline: list | None, views: dict, outer: Sequence[dict] = ()) -> None:
    """Puts the views into each data set within wrappers; what a wrapper did after them is done within the views."""
    steps = [*(dataset.get('pipeline') or ()), *outer]
    inner = wrapped(dataset)
    if not inner:
        if pipeline is not None:
            _check_loading(pipeline, steps)
        dataset.pipeline = views_pipeline(steps, **views) if pipeline is None else pipeline
    elif 'pipeline' in dataset:
        dataset.pipeline = []
    for part in inner:
        _set_pipelines(part, pipeline, views, steps if 'pipeline' in dataset else outer)


def _check_loading(pipeline: Sequence[dict], steps: Sequence[dict]) -> None:
    """A pipeline that a config inherits, as from MMDetection's RTMDet, would read counts as 8-bit colours."""
    got, expected = (
        [
            {key: value for key, value in step.items() if value is not None} | {'type': type_name(step)}
            for step in typed_dicts(list(part))
            if type_name(step) in _LOADING
        ]
        for part in (pipeline, steps)
    )
    if got and got != expected:  # (a loader of one's own is not known here)
        raise ValueError(
            f'tta_pipeline: expected the loader and the tone mapping of the test pipeline, {expected}, got {got}, '
            f'which gives the model other grey values; copy them, or set tta_pipeline=None'
        )


def check_tta(model: nn.Module) -> None:
    """Refuses MMDetection's ``DetTTAModel`` around a model with masks.

    Raises:
        ValueError: For such a model.
    """
    model = model.module if is_model_wrapper(model) else model
    if not isinstance(model, DetTTAModel):
        return
    if model.module.with_mask or any(isinstance(m, MaskFormerHead | RTMDetInsHead) for m in model.module.modules()):
        raise ValueError(
            f"--tta: tta_model: expected type='IRTTAModel' for a model with masks, got {type(model).__name__!r}, "
            f'which merges boxes only'
        )


def views_pipeline(
    pipeline: Sequence[dict], flips: str | Sequence[str] = ('horizontal',), scales: float | Sequence[float] = (1.0,)
) -> list[dict]:
    """Turns a test pipeline into one that ends with ``TestTimeAug``.

    Loading and tone mapping happen once; resizing and what comes after it once for each view. Flips are right after
    the resizing, since padding at the right edge has to stay there.

    Args:
        pipeline: Ends with ``PackDetInputs``.
        flips: Directions besides the view that is not flipped: ``'horizontal'``, ``'vertical'``, ``'diagonal'``.
        scales: Factors of the size that the pipeline's ``Resize`` asks for. Each is combined with each flip.

    Returns:
        The pipeline with ``len(scales) * (1 + len(flips))`` views, the first of them not flipped.

    Raises:
        ValueError: For unknown flips, scales that are no positive numbers, scales above 1 before a ``Pad`` to a
            fixed size, which could not hold the view, and a resizing that pads.
    """
    flips = [flips] if isinstance(flips, str) else list(flips)
    scales = [scales] if isinstance(scales, int | float) else list(scales)
    if not set(flips) <= set(FLIPS) or len(set(flips)) < len(flips):
        raise ValueError(f'tta_views.flips: expected different ones of {FLIPS}, got {flips}')
    if not scales or not all(isinstance(scale, int | float) and scale > 0 for scale in scales):
        raise ValueError(f'tta_views.scales: expected one positive number or more, got {scales}')
    steps = deepcopy(list(pipeline))
    names = [type_name(step) for step in steps]
    if any(name == 'FixShapeResize' and step.get('keep_ratio') for name, step in zip(names, steps, strict=True)):
        raise ValueError(
            '--tta: FixShapeResize(keep_ratio=True) pads the image, which a flip after it would move; take Resize and '
            'Pad in its place, or write a tta_pipeline'
        )
    if max(scales) > 1 and any('size' in step for name, step in zip(names, steps, strict=True) if name == 'Pad'):
        raise ValueError(
            f'tta_views.scales: expected none above 1, because the test pipeline pads to a fixed size, got {scales}; '
            f'write a tta_pipeline'
        )
    resizes = [i for i, name in enumerate(names) if name in _RESIZES]
    start = resizes[-1] if resizes else names.index('Pad') if 'Pad' in names else len(steps) - 1
    views = []
    if resizes:
        views.append([_scaled(steps[start], scale) for scale in scales])
    elif scales != [1]:
        views.append([{'type': 'Resize', 'scale_factor': float(scale), 'keep_ratio': True} for scale in scales])
    mirrored = [{'type': 'RandomFlip', 'prob': 1.0, 'direction': direction} for direction in flips]
    views.append([{'type': 'RandomFlip', 'prob': 0.0}, *mirrored])
    views += [[step] for step in steps[start + bool(resizes) :]]
    pack = views[-1][0]
    pack['meta_keys'] = tuple(dict.fromkeys((*pack.get('meta_keys', ()), *_META_KEYS)))
    return [*steps[:start], {'type': 'TestTimeAug', 'transforms': views}]


def _scaled(resize: dict, factor: float) -> dict:
    """A ``Resize`` to a size that is larger or smaller by a factor."""
    key = 'scale' if resize.get('scale') is not None else 'scale_factor'
    size = resize[key]
    if key == 'scale':
        new = tuple(round(length * factor) for length in size) if not isinstance(size, int) else round(size * factor)
    else:
        new = tuple(f * factor for f in size) if not isinstance(size, int | float) else size * factor
    return {**resize, key: new}
