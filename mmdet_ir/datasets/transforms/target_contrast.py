"""Targets colder or warmer than the ground, whatever they were in the recording."""

from collections.abc import Sequence

import cv2
import numpy as np
from mmdet.registry import TRANSFORMS

from ..images.values import to_single_channel
from .augmentation import IRAugmentation, ValueRange, image_name, require_annotations, restore


@TRANSFORMS.register_module()
class RandomTargetContrast(IRAugmentation):
    """Contrast of the targets of a class to what is around them: ``level + factor * (x - level)``.

    The level is the median of the target's surroundings: the pixels within ``margin`` of its mask that belong to no
    target. The factor is drawn once for each class in an image, as all cars of an hour are warmer or colder than the
    road together, and fades to 1 across the margin. From recording to recording the contrast of a class to the ground
    changes, and turns over twice a day. :class:`RandomPolarity` and :class:`RandomGainOffset` change targets and
    ground together.

    Left alone: ignored regions, and targets without surroundings of their own.

    Required keys: ``img``, ``gt_masks`` (bitmaps or polygons), ``gt_bboxes_labels``, ``gt_ignore_flags``. Modified:
    ``img``.

    Args:
        gain: Interval of the factor's magnitude, above 0; drawn uniformly in its logarithm.
        inverted: Probability of a negative factor, by which warm targets become cold ones.
        labels: Indices of the classes that are changed; None: all.
        margin: Width of the surroundings, pixels.
        prob, value_range: See :class:`IRAugmentation`.

    Example:
        >>> import numpy as np
        >>> from mmdet.structures.mask import BitmapMasks
        >>> from mmdet_ir.datasets.transforms import RandomTargetContrast
        >>> image, mask = np.full((32, 32), 100, np.uint8), np.zeros((1, 32, 32), np.uint8)
        >>> image[10:20, 10:20], mask[:, 10:20, 10:20] = 140, 1
        >>> results = dict(img=image, gt_masks=BitmapMasks(mask, 32, 32), gt_bboxes_labels=np.array([0]))
        >>> results['gt_ignore_flags'] = np.array([False])
        >>> transform = RandomTargetContrast(gain=(0.5, 0.5), inverted=1.0, prob=1.0)
        >>> int(transform(results)['img'][15, 15])  # 40 above the ground of 100 became 20 below it
        80
    """

    def __init__(
        self,
        gain: Sequence[float] = (0.4, 1.3),
        inverted: float = 0.5,
        labels: Sequence[int] | None = None,
        margin: int = 4,
        prob: float = 0.5,
        value_range: ValueRange = None,
    ) -> None:
        super().__init__(prob, value_range)
        self.gain = self._interval('gain', gain, np.finfo(np.float32).tiny)
        if not 0 <= inverted <= 1:
            raise ValueError(f'RandomTargetContrast: expected inverted from 0 to 1, got {inverted}')
        if margin < 1:
            raise ValueError(f'RandomTargetContrast: expected margin of at least 1, got {margin}')
        indices = () if labels is None else labels
        if isinstance(indices, str | int) or not all(isinstance(index, int) and index >= 0 for index in indices):
            raise ValueError(
                f'RandomTargetContrast: expected labels as indices of classes, e.g. [1, 2], got {labels!r}'
            )
        self.inverted = inverted
        self.labels = labels
        self.margin = margin

    def transform(self, results: dict) -> dict:
        """Change the contrast of the targets.

        Raises:
            TypeError: If the image's dtype is not supported.
            ValueError: If keys are missing, the image's values do not fit the range, or its channels differ.
        """
        require_annotations(results, ('gt_masks', 'gt_bboxes_labels', 'gt_ignore_flags'), 'RandomTargetContrast')
        return super().transform(results)

    def act(self, results: dict, limits: tuple[float, float], rng: np.random.Generator) -> None:
        labels = results['gt_bboxes_labels']
        factors = {label: self._factor(rng) for label in (np.unique(labels) if self.labels is None else self.labels)}
        masks = results['gt_masks'].to_ndarray().astype(np.uint8)  # (of polygons bool)
        image = to_single_channel(results['img'], image_name(results)).astype(np.float32)
        ground = ~masks.any(axis=0)
        changed, taken = image.copy(), np.zeros_like(image)
        for mask, label, ignored in zip(masks, labels, results['gt_ignore_flags'], strict=True):
            if ignored or label not in factors or not mask.any():
                continue
            left, top, width, height = cv2.boundingRect(mask)
            window = (
                slice(max(top - self.margin, 0), top + height + self.margin),
                slice(max(left - self.margin, 0), left + width + self.margin),
            )
            inside, free = mask[window] > 0, ground[window]  # other targets keep their values
            distance = cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            ring = free & (distance <= self.margin)
            if not ring.any():
                continue
            level = np.median(image[window][ring])
            share = np.where(inside | free, np.clip(1 - distance / self.margin, 0, 1), 0) * (1 - taken[window])
            taken[window] += share
            changed[window] += share * (factors[label] - 1) * (image[window] - level)
        results['img'] = restore(changed, results['img'], limits)

    def _factor(self, rng: np.random.Generator) -> float:
        sign = -1 if rng.random() < self.inverted else 1
        return sign * float(np.exp(rng.uniform(*np.log(self.gain))))
