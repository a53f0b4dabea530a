"""Whether an exported model gives what PyTorch gives, on images, through the config's own test pipeline."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from mmdet.structures.mask import mask2bbox
from mmengine.structures import InstanceData
from scipy.optimize import linear_sum_assignment
from torchvision.ops import box_iou

from ..apis.inference.inferencer import IRInferencer
from ..datasets.transforms.loading import LoadIRImageFromFile
from .backends import ExportedModel
from .graph.exportable import exportable_kind

LIMITS = {'box': 0.5, 'score': 1e-3, 'mask': 0.995}  # pixels, difference, IoU
_CLOSE_IOU = 5e-3  # to the threshold of NMS
_ELSEWHERE = 'one of equal score elsewhere in an even image'
Found = dict[str, np.ndarray]


@dataclass
class Comparison:
    """What was compared, and the worst case of each quantity.

    Attributes:
        images: Number of images, each counted once a batch size.
        without: How many of them have no detections in PyTorch.
        detections: Number of PyTorch's detections.
        box: Largest difference of a box coordinate, pixels.
        score: Largest difference of a score.
        mask: Smallest IoU of a mask.
        worst: Image of each of these.
        close: Detections and pixels of masks that one side lacks for a decision that hung on rounding, by reason.
        differences: What cannot be explained so, and what is beyond the limits, in words.
    """

    images: int = 0
    without: int = 0
    detections: int = 0
    box: float = 0.0
    score: float = 0.0
    mask: float = 1.0
    worst: dict[str, str] = field(default_factory=dict)
    close: Counter = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)

    @property
    def same(self) -> bool:
        return not self.differences

    def add(
        self,
        name: str,
        expected: Found,
        got: Found,
        meta: dict,
        close_pixels: Callable[[], np.ndarray] | None = None,
        even: bool = False,
    ) -> None:
        """Compares the detections of an image.

        Detections are matched within their class, those with the closest boxes first of all. One that is left over is
        a difference, unless the decision against it was a close one: its score is at the threshold or at the last
        place of two full lists, its IoU with another detection is at the threshold of NMS, or it and its rival on the
        other side suppress each other with equal scores. A pixel that only one mask has, and whose probability is at
        the mask threshold, is a close call, too.

        Args:
            name: Of the image.
            expected: PyTorch's ``boxes``, ``scores``, ``labels`` and ``masks``.
            got: The exported model's.
            meta: Of the exported model.
            close_pixels: Gives bool ``[D, H, W]``, which pixels of ``expected`` are at the mask threshold; asked only
                where a mask is beyond the limit.
            even: Whether the image is evenly grey. Its places look alike: candidates of equal scores lie everywhere,
                and which of them suppress the others hangs on rounding, so that only scores are judged.
        """
        self.images += 1
        self.without += not len(expected['boxes'])
        self.detections += len(expected['boxes'])
        by_masks = meta.get('boxes') == 'around the masks'
        pairs = match(expected, got, by_masks)
        for first, second in pairs:
            # (a box around a mask moves with a pixel of it, which is judged as the mask's)
            apart = float(np.abs(expected['boxes'][first] - got['boxes'][second]).max())
            if even and apart > LIMITS['box']:
                self._note(name, 'score', float(abs(expected['scores'][first] - got['scores'][second])))
                self.close[_ELSEWHERE] += 1
                continue
            self._note(name, 'box', apart, judge=not by_masks)
            self._note(name, 'score', float(abs(expected['scores'][first] - got['scores'][second])))
            self._note_mask(name, expected['masks'][first], got['masks'][second], first, close_pixels)
        left = [
            (side, own, other, sorted(set(range(len(own['boxes']))) - {pair[index] for pair in pairs}))
            for index, (side, own, other) in enumerate((('PyTorch', expected, got), ('exported', got, expected)))
        ]
        for side, own, other, rest in left:
            for index in rest:
                reason = _close_call(own, index, other, meta)
                if reason is None and even and _has_equal(own, index, other):
                    reason = _ELSEWHERE
                if reason is not None:
                    self.close[reason] += 1
                    continue
                label, score = meta['classes'][own['labels'][index]], own['scores'][index]
                self.differences.append(
                    f'{name}: only {side} has {label} {score:.4f} at {own["boxes"][index].round(1)}'
                )

    def _note_mask(
        self, name: str, own: np.ndarray, other: np.ndarray, index: int, close_pixels: Callable | None
    ) -> None:
        iou = _mask_iou(own, other)
        if iou < LIMITS['mask'] and close_pixels is not None:
            sure = ~close_pixels()[index]
            self.close['pixels of masks at the mask threshold'] += int(((own != other) & ~sure).sum())
            if _mask_iou(own & sure, other & sure) >= LIMITS['mask']:
                self._note(name, 'mask', iou, judge=False)
                return
        self._note(name, 'mask', iou)

    def _note(self, name: str, quantity: str, value: float, judge: bool = True) -> None:
        sign = -1 if quantity == 'mask' else 1  # of masks the smallest is the worst
        if sign * value > sign * getattr(self, quantity):
            setattr(self, quantity, value)
            self.worst[quantity] = name
        if judge and sign * value > sign * LIMITS[quantity]:
            self.differences.append(f'{name}: {quantity}: expected {LIMITS[quantity]} at worst, got {value:.6g}')

    def table(self) -> list[list[str]]:
        """Rows of quantity, worst case, limit and image."""
        rows = [
            ['boxes, largest difference (px)', f'{self.box:.2g}', f'{LIMITS["box"]}', self.worst.get('box', '-')],
            ['scores, largest difference', f'{self.score:.2g}', f'{LIMITS["score"]}', self.worst.get('score', '-')],
            ['masks, smallest IoU', f'{self.mask:.6f}', f'{LIMITS["mask"]}', self.worst.get('mask', '-')],
        ]
        reasons = ', '.join(f'{number} {reason}' for reason, number in sorted(self.close.items()))
        rows.append(['on one side only, close calls', str(self.close.total()), '-', reasons or '-'])
        rows.append(['differences', str(len(self.differences)), '0', (self.differences or ['-'])[0]])
        return rows


def verify(
    exported: ExportedModel,
    inferencer: IRInferencer,
    images: Iterable[tuple[str, np.ndarray]],
    batches: Sequence[int] | None = None,
) -> dict[int, Comparison]:
    """Compares an exported model with PyTorch on images, and on an evenly grey one of each size.

    Args:
        exported: The model.
        inferencer: Config and weights that it was made of.
        images: Names and images as ``IRInferencer.read`` returns them.
        batches: Numbers of images at a time; defaults to 1 and 4, or what the model was exported for. Images are
            grouped by size; the last of a size is repeated where it takes that to fill a batch.

    Returns:
        The comparison for each of ``batches``.

    Raises:
        ValueError: If there are no images, or the model does not take them.

    Example:
        >>> from mmdet_ir.apis import IRInferencer
        >>> from mmdet_ir.deploy import ExportedModel, export_model, verify
        >>> inferencer = IRInferencer('config.py', 'weights.pth', 'cpu', show_progress=False)
        >>> meta = export_model(inferencer, 'model.pt', 'torchscript')
        >>> results = verify(ExportedModel('model.pt'), inferencer, [('a', inferencer.read('images/0.png'))])
        >>> all(comparison.same for comparison in results.values())
        True
    """
    sizes: dict[tuple, list[tuple[str, np.ndarray]]] = {}
    for name, image in images:
        sizes.setdefault((image.shape, image.dtype), []).append((name, image))
    if not sizes:
        raise ValueError('verify: expected at least one image, got none')
    fixed = exported.meta['input']['batch']
    results = {number: Comparison() for number in batches or ((1, 4) if fixed is None else (fixed,))}
    for (shape, dtype), group in sizes.items():
        empty = np.full(shape, np.median(group[0][1])).astype(dtype)
        group = [*group, (f'empty {shape[1]}x{shape[0]}', empty)]
        stored = [_loaded(inferencer, image, name) for name, image in group]
        expected = [_as_arrays(inferencer.predict([inferencer.prepare(image, name)])[0]) for name, image in group]
        for number, comparison in results.items():
            for start in range(0, len(group), number):
                part = range(start, min(start + number, len(group)))
                filled = [stored[min(start + i, len(group) - 1)] for i in range(number)]
                for index, got in zip(part, exported.predict(filled), strict=False):
                    name, image = group[index]
                    pixels = partial(_close_pixels, inferencer, image, name)
                    comparison.add(name, expected[index], got, exported.meta, pixels, even=image is empty)
    return results


def match(expected: Found, got: Found, by_masks: bool = False) -> list[tuple[int, int]]:
    """Pairs of detections of one class, with the smallest sum of distances; what hardly overlaps is no pair.

    Args:
        expected: Of an image.
        got: Of the same image.
        by_masks: Whether the masks overlap, instead of the boxes.
    """
    pairs, key = [], 'masks' if by_masks else 'boxes'
    overlaps = _mask_ious if by_masks else _ious
    for label in np.intersect1d(expected['labels'], got['labels']):
        first, second = (np.flatnonzero(found['labels'] == label) for found in (expected, got))
        overlap = overlaps(expected[key][first], got[key][second])
        scores = np.abs(expected['scores'][first][:, None] - got['scores'][second])
        rows, columns = linear_sum_assignment(1 - overlap + scores)
        # what is farther apart than the limits allow many times over is another detection, not an inexact one
        near = overlap[rows, columns] > 0.7
        pairs += zip(first[rows[near]].tolist(), second[columns[near]].tolist(), strict=True)
    return pairs


def _close_call(own: Found, index: int, other: Found, meta: dict) -> str | None:
    """Why a detection may be missing on the other side by rounding alone; ``None`` if it may not."""
    score = own['scores'][index]
    if score - meta['score_threshold'] <= LIMITS['score']:
        return 'at the score threshold'
    limit = meta['max_per_image']
    if min(len(own['boxes']), len(other['boxes'])) >= limit and score - own['scores'].min() <= LIMITS['score']:
        return 'at the last place of a full list'
    if meta['nms_iou_threshold'] is None:
        return None
    rivals = np.flatnonzero((other['labels'] == own['labels'][index]) & (other['scores'] >= score - LIMITS['score']))
    ious = _ious(own['boxes'][index : index + 1], other['boxes'][rivals])[0]
    if (np.abs(ious - meta['nms_iou_threshold']) <= _CLOSE_IOU).any():
        return 'at the IoU threshold of NMS'
    equal = np.abs(other['scores'][rivals] - score) <= LIMITS['score']
    if (ious[equal] > meta['nms_iou_threshold']).any():
        return 'suppressed by one of equal score'
    return None


def _has_equal(own: Found, index: int, other: Found) -> bool:
    """Whether the other side has a detection of the same class and score, at whatever place."""
    apart = np.abs(other['scores'] - own['scores'][index])[other['labels'] == own['labels'][index]]
    return bool((apart <= LIMITS['score']).any())


def _close_pixels(inferencer: IRInferencer, image: np.ndarray, name: str) -> np.ndarray:
    """Pixels that PyTorch's masks gain or lose when the mask threshold moves by a little, bool ``[D, H, W]``."""
    cfg, key = exportable_kind(inferencer.model).mask_threshold(inferencer.model)
    threshold, found = cfg[key], []
    try:
        for moved in (threshold, threshold - LIMITS['score'], threshold + LIMITS['score']):
            cfg[key] = moved
            found.append(_as_arrays(inferencer.predict([inferencer.prepare(image, name)])[0]))
    finally:
        cfg[key] = threshold
    own, *others = found
    close = np.zeros_like(own['masks'])
    for other in others:  # (where scores come from masks, too, the list may have another order)
        for first, second in match(own, other, by_masks=True):
            close[first] |= own['masks'][first] != other['masks'][second]
    return close


def _ious(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return box_iou(torch.as_tensor(first), torch.as_tensor(second)).nan_to_num().numpy()


def _mask_iou(first: np.ndarray, second: np.ndarray) -> float:
    """IoU of two masks ``[H, W]``; two empty ones agree."""
    union = np.logical_or(first, second).sum()
    return float(np.logical_and(first, second).sum() / union) if union else 1.0


def _loaded(inferencer: IRInferencer, image: np.ndarray, name: str) -> np.ndarray:
    """The image as the config's loader leaves it: the exported model's input."""
    loader = inferencer.pipeline.loader
    return loader.prepare(image, name) if isinstance(loader, LoadIRImageFromFile) else image


def _mask_ious(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """IoU of each mask ``[n, H, W]`` with each of ``[m, H, W]``, ``[n, m]``; that of two empty masks is 1."""
    first, second = (masks.reshape(len(masks), -1).astype(np.float32) for masks in (first, second))
    common = first @ second.T
    union = first.sum(1)[:, None] + second.sum(1) - common
    return np.where(union > 0, common / np.maximum(union, 1), 1.0)


def _as_arrays(found: InstanceData) -> Found:
    boxes = found.bboxes if len(found) and found.bboxes.any() else mask2bbox(torch.as_tensor(found.masks))  # (SOLOv2)
    values = {'boxes': boxes, 'scores': found.scores, 'labels': found.labels.long(), 'masks': found.masks.bool()}
    return {name: np.asarray(torch.as_tensor(value)) for name, value in values.items()}
