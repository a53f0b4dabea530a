"""What can be seen of a model as soon as it is built: whether its losses and its classes are those that were meant."""

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from mmdet.models.dense_heads import (
    ATSSHead,
    CenterNetUpdateHead,
    DDODHead,
    FCOSHead,
    FoveaHead,
    FreeAnchorRetinaHead,
    GFLHead,
    PISARetinaHead,
    RepPointsHead,
    RPNHead,
    YOLOFHead,
    YOLOXHead,
)
from mmdet.models.losses import GHMR, BalancedL1Loss, L1Loss, MSELoss, SmoothL1Loss
from mmdet.models.roi_heads.bbox_heads import MultiInstanceBBoxHead
from mmdet.models.roi_heads.mask_heads import FusedSemanticHead
from torch import nn

from ...datasets.ir_dataset import text_instead_of_classes

_OTHER_CLASSES = ('backbone', 'data_preprocessor', 'rpn_head')  # parts whose classes are not those of the data set
# What heads hand to loss_bbox, whatever their settings: boxes in pixels, or distances from a prior.
_BOXES = (ATSSHead, CenterNetUpdateHead, DDODHead, FCOSHead, GFLHead, YOLOFHead, YOLOXHead)
_DISTANCES = (FoveaHead, FreeAnchorRetinaHead, MultiInstanceBBoxHead, PISARetinaHead)
_OF_DISTANCES = (BalancedL1Loss, GHMR, L1Loss, MSELoss, SmoothL1Loss)


def check_box_losses(model: nn.Module) -> None:
    """Refuses losses that compare boxes where a head gives them distances from its priors, and the reverse.

    Training goes on without a word then, towards nothing. Heads that normalise their boxes and have a loss of either
    kind (``loss_bbox`` and ``loss_iou``), as DETR's, are not looked at.

    Args:
        model: A detector.

    Raises:
        ValueError: With the places in the config.
    """
    wrong = [text for name, head in model.named_modules() for text in _box_losses(_place(name), head)]
    if wrong:
        raise ValueError('; '.join(wrong))


def _box_losses(place: str, head: nn.Module) -> Iterator[str]:
    loss = getattr(head, 'loss_bbox', None)
    if not isinstance(loss, nn.Module) or hasattr(head, 'loss_iou') and not isinstance(head, _BOXES):
        return
    if isinstance(head, RepPointsHead):  # it inherits a loss that it does not use
        return
    kind, decoded = type(loss).__name__, getattr(head, 'reg_decoded_bbox', None)
    of_boxes = 'iou' in kind.lower()
    of_distances = isinstance(loss, _OF_DISTANCES)
    if isinstance(head, _BOXES):
        if of_distances:
            yield (
                f'{place}.loss_bbox: expected a loss that compares boxes, such as GIoULoss or FocalSIoULoss, as '
                f'{type(head).__name__} gives it boxes in pixels, got {kind}'
            )
        if isinstance(head, ATSSHead) and not decoded:
            yield f'{place}.reg_decoded_bbox: expected True for {type(head).__name__}, got {decoded}'
    elif isinstance(head, _DISTANCES) or decoded is False:
        if of_boxes:
            remedy = 'another loss' if isinstance(head, _DISTANCES) else 'reg_decoded_bbox=True beside it'
            yield (
                f'{place}.loss_bbox: {kind} compares boxes, but {type(head).__name__} gives it distances from its '
                f'priors: set {remedy}'
            )
        if decoded and isinstance(head, _DISTANCES):
            yield f'{place}.reg_decoded_bbox: expected False for {type(head).__name__}, got True'
    elif decoded and of_distances:
        yield (
            f'{place}.loss_bbox: {kind} compares distances from priors, but reg_decoded_bbox=True gives it boxes in '
            f'pixels: set reg_decoded_bbox=False, or a loss such as GIoULoss or FocalSIoULoss'
        )


def unmatched_keys(model: nn.Module, optim_wrapper: object) -> list[str]:
    """Warnings about ``custom_keys`` of the optimiser that are in the name of no parameter.

    Args:
        model: A detector without wrappers.
        optim_wrapper: Of the config; one that is built already is not looked at.
    """
    factors = (optim_wrapper.get('paramwise_cfg') if isinstance(optim_wrapper, Mapping) else None) or {}
    names = [name for name, _ in model.named_parameters()]
    parts = {part for name in names for part in name.split('.')}
    warnings = []
    for key in factors.get('custom_keys') or {}:
        if not any(key in name for name in names):
            close = difflib.get_close_matches(key.rsplit('.', 1)[-1], sorted(parts), 1)
            hint = f'; did you mean {close[0]!r}?' if close else ''
            warnings.append(
                f'optim_wrapper.paramwise_cfg.custom_keys: {key!r} is in the name of no parameter of the model, so '
                f'that it changes nothing{hint}'
            )
    return warnings


def check_class_counts(model: nn.Module, classes: Sequence[str] | str | None, place: str) -> None:
    """Compares ``num_classes`` of every head, and of every loss that has one, with the classes of a data set.

    Args:
        model: A detector without wrappers.
        classes: Names; ``None`` if the data set names none, which is not checked.
        place: Of the data set in the config, such as ``train_dataloader.dataset``.

    Raises:
        ValueError: If the numbers differ, with the settings to change; or if ``classes`` is a text.
    """
    if classes is None:
        return
    if isinstance(classes, str):
        raise ValueError(text_instead_of_classes(f'{place}.metainfo', classes))
    wrong = [
        f'{_place(name)}.num_classes={module.num_classes}'
        for name, module in model.named_modules()
        if isinstance(getattr(module, 'num_classes', None), int)
        and module.num_classes != len(classes)
        and not isinstance(module, RPNHead | FusedSemanticHead)
        and not set(name.split('.')) & set(_OTHER_CLASSES)
    ]
    if wrong:
        names = ', '.join(map(str, classes[:6])) + (', ...' if len(classes) > 6 else '')
        raise ValueError(
            f'expected num_classes={len(classes)}, the number of classes of {place} ({names}), got '
            f'{", ".join(wrong)}; set num_classes in each of these places, or metainfo.classes of the data sets'
        )


def check_detection_limit(model: nn.Module, counts: Counter, place: str) -> str | None:
    """Looks for images with more targets than the model may detect.

    Args:
        model: A detector without wrappers.
        counts: Number of targets of each image.
        place: What the images are of, for the message.

    Returns:
        A warning that names the settings to change; ``None`` if there is no need.
    """
    most = max(counts.values(), default=0)
    limits = dict(sorted(_detection_limits(model)))
    low = {name: limit for name, limit in limits.items() if 0 <= limit < most}
    if not low:
        return None
    limit = min(low.values())
    number = sum(count > limit for count in counts.values())
    settings = ', '.join(f'{name}={value}' for name, value in low.items())
    return (
        f'{place}: {number} images have more targets than the {limit} detections that the model may give for an image '
        f'(up to {most} targets): set {settings} to at least {most}'
    )


def _detection_limits(model: nn.Module) -> Iterator[tuple[str, int]]:
    settings = getattr(model, 'test_cfg', None) or {}
    for part in ('', 'rpn', 'rcnn'):
        limit = (settings.get(part) or {}).get('max_per_img') if part else settings.get('max_per_img')
        if limit is not None:
            yield '.'.join(('model.test_cfg', part, 'max_per_img')).replace('..', '.'), limit
    for name, module in model.named_modules():
        if isinstance(getattr(module, 'num_masks', None), int):  # SparseInst's instances an image
            yield f'{_place(name)}.num_masks', module.num_masks


def _place(name: str) -> str:
    """Where a module stands in the config."""
    return re.sub(r'\.(\d+)(?=\.|$)', r'[\1]', f'model.{name}')
