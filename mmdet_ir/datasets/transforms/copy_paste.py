"""Small-target copy-paste with the level of the local background matched."""

from dataclasses import dataclass

import cv2
import numpy as np
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes, autocast_box_type
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.dataset import BaseDataset

from ..images.values import to_single_channel
from .augmentation import IRAugmentation, ValueRange, image_name, require_annotations, restore

_KEYS = ('gt_bboxes', 'gt_bboxes_labels', 'gt_masks', 'gt_ignore_flags')


@dataclass
class _Target:
    """A target cut out with what surrounds it.

    Attributes:
        index: Which instance of the source image it is.
        left, top: Position of the cut-out in the source image, pixels.
        pixels: float32 [h, w].
        mask: bool [h, w].
        ring: bool [h, w], the surroundings that tell the background.
        corners: The four quarters of the ring, each bool [h, w].
        alpha: float32 [h, w], share of the cut-out in what is pasted: 1 in the mask, 0 at the edge of the cut-out.
    """

    index: int
    left: int
    top: int
    pixels: np.ndarray
    mask: np.ndarray
    ring: np.ndarray
    corners: list[np.ndarray]
    alpha: np.ndarray


@TRANSFORMS.register_module()
class TargetCopyPaste(IRAugmentation):
    """Copies small targets onto other backgrounds and keeps their contrast to what is around them.

    A target is cut out with a margin. Of several free places in the image, the one is taken whose background is most
    like the target's own. The cut-out is shifted by the difference of the levels (medians of the two surroundings) and
    fades into the background across the margin. Inside its mask it is neither faded nor clipped.

    Places are not used where the shifted target would leave the range of values, or where, in any of the four corners
    of the surroundings, the levels still differ by more than half of the target's contrast: the seam would show.

    Left alone as sources: ignored regions, targets at the border of their image, which may be cut off, and targets
    with a neighbour in the margin. Nothing is pasted on boxes or masks, ignored ones included.

    Within ``MultiImageMixDataset`` the targets come from another image of the data set (``mix_results``), in an
    ordinary pipeline from the image itself. Small targets pasted several times: Kisantal et al., "Augmentation for
    small object detection", 2019; pasting between images: Ghiasi et al., "Simple Copy-Paste", CVPR 2021.

    Required keys: ``img``, ``gt_bboxes``, ``gt_bboxes_labels``, ``gt_masks`` (bitmaps or polygons),
    ``gt_ignore_flags``; all are modified. The pasted box is the annotated one, moved.

    Args:
        max_area: Targets of fewer mask pixels are copied; by default COCO's small ones.
        max_num: Most targets to paste on an image; 1 to ``max_num`` are, if there are as many and room for them.
        margin: Width of the surroundings that are cut out with a target, pixels, at least 2.
        num_places: Free places to choose from.
        prob, value_range: See :class:`IRAugmentation`.

    Example:
        >>> from mmdet_ir.datasets.transforms import TargetCopyPaste
        >>> transform = TargetCopyPaste(max_area=400, max_num=2)
        >>> pipeline = [{'type': 'TargetCopyPaste', 'max_area': 400, 'max_num': 2}]  # the same in a config
    """

    def __init__(
        self,
        max_area: float = 32**2,
        max_num: int = 3,
        margin: int = 4,
        num_places: int = 16,
        prob: float = 0.5,
        value_range: ValueRange = None,
    ) -> None:
        super().__init__(prob, value_range)
        for name, value, least in (
            ('max_area', max_area, 1),
            ('max_num', max_num, 1),
            ('margin', margin, 2),
            ('num_places', num_places, 1),
        ):
            if value < least:
                raise ValueError(f'TargetCopyPaste: expected {name} of at least {least}, got {value}')
        self.max_area = max_area
        self.max_num = max_num
        self.margin = margin
        self.num_places = num_places

    def get_indexes(self, dataset: BaseDataset) -> int:
        """Image to copy from; ``MultiImageMixDataset`` asks for it."""
        return self._seed() % len(dataset)

    @autocast_box_type()
    def transform(self, results: dict) -> dict:
        """Paste targets of ``results['mix_results'][0]``, or of the image itself where there is none.

        Raises:
            TypeError: If the image's dtype is not supported, or the two images differ in it.
            ValueError: If keys are missing, channels differ, or values do not fit the range.
        """
        source = results.get('mix_results', [results])[0]
        for item in (results, source):
            require_annotations(item, _KEYS, 'TargetCopyPaste')
        if source['img'].dtype != results['img'].dtype:
            raise TypeError(
                f'image {image_name(source)}: expected {results["img"].dtype} as in the image to paste on, '
                f'{image_name(results)}, got {source["img"].dtype}'
            )
        return super().transform(results)

    def act(self, results: dict, limits: tuple[float, float], rng: np.random.Generator) -> None:
        source = results.get('mix_results', [results])[0]
        targets = self._cut_out(source, rng)
        if not targets:
            return
        image = to_single_channel(results['img'], image_name(results)).astype(np.float32)
        occupied = _occupancy(_rectangles(results, results['gt_masks'].to_ndarray()), image.shape)
        moves = {}
        for target in targets:
            place = self._choose_place(target, image, occupied, limits, rng)
            if place is None:
                continue
            window, shift = place
            image[window] += target.alpha * (target.pixels + shift - image[window])
            occupied[window] = 1
            moves[target.index] = (window[1].start - target.left, window[0].start - target.top)
        if moves:
            results['img'] = restore(image, results['img'], limits)
            _append(results, source, moves)

    def _cut_out(self, source: dict, rng: np.random.Generator) -> list[_Target]:
        """Up to ``max_num`` targets of the source image, in random order."""
        masks = source['gt_masks'].to_ndarray().astype(bool)
        areas = masks.sum(axis=(1, 2))
        usable = np.flatnonzero((areas > 0) & (areas < self.max_area) & ~source['gt_ignore_flags'])
        if len(usable) == 0:
            return []
        image = to_single_channel(source['img'], image_name(source))
        rectangles = _rectangles(source, masks)
        occupied = _occupancy(rectangles, image.shape)
        number = rng.integers(1, self.max_num, endpoint=True)
        targets = []
        for index in rng.permutation(usable):
            (left, top), (right, bottom) = rectangles[index].reshape(2, 2) + [[-self.margin], [self.margin]]
            if left < 0 or top < 0 or right > image.shape[1] or bottom > image.shape[0]:
                continue
            window = slice(top, bottom), slice(left, right)
            neighbours = occupied[window].copy()
            neighbours[self.margin : -self.margin, self.margin : -self.margin] -= 1
            if neighbours.any():
                continue
            mask = masks[index][window]
            distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            nearness = np.clip(1 - distance / self.margin, 0, 1)
            alpha = nearness**2 * (3 - 2 * nearness)
            ring = distance > self.margin / 2  # farther than the optics spread the target's own signal
            below, right_half = np.indices(mask.shape) >= np.array(mask.shape)[:, None, None] / 2
            corners = [ring & (below == i) & (right_half == j) for i in (0, 1) for j in (0, 1)]
            targets.append(_Target(index, left, top, image[window].astype(np.float32), mask, ring, corners, alpha))
            if len(targets) == number:
                break
        return targets

    def _choose_place(
        self,
        target: _Target,
        image: np.ndarray,
        occupied: np.ndarray,
        limits: tuple[float, float],
        rng: np.random.Generator,
    ) -> tuple[tuple[slice, slice], float] | None:
        """Window of the place whose background is most like the target's, and the shift of the level; None if none."""
        height, width = target.mask.shape
        if height > image.shape[0] or width > image.shape[1]:
            return None
        sums = cv2.integral((occupied > 0).astype(np.uint8))
        taken = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
        free = np.flatnonzero(taken == 0)
        if len(free) == 0:
            return None
        level = np.median(target.pixels[target.ring])
        inside = target.pixels[target.mask]
        coldest, warmest = inside.min(), inside.max()
        contrast = max(warmest - level, level - coldest)
        best, least = None, np.inf
        for place in rng.choice(free, min(self.num_places, len(free)), replace=False):
            top, left = divmod(int(place), taken.shape[1])
            window = slice(top, top + height), slice(left, left + width)
            shift = np.median(image[window][target.ring]) - level
            if coldest + shift < limits[0] or warmest + shift > limits[1]:
                continue
            gap = target.pixels + shift - image[window]
            mismatch = max(abs(np.median(gap[corner])) for corner in target.corners)
            if mismatch > contrast / 2:
                continue
            difference = abs(shift) + mismatch
            if difference < least:
                best, least = (window, shift), difference
        return best


def _rectangles(results: dict, masks: np.ndarray) -> np.ndarray:
    """What encloses box and mask of each instance: left, top, right, bottom (exclusive), whole pixels, int [N, 4]."""
    boxes = results['gt_bboxes'].tensor.numpy()
    rectangles = np.concatenate([np.floor(boxes[:, :2]), np.ceil(boxes[:, 2:])], axis=1).astype(int)
    for rectangle, mask in zip(rectangles, masks, strict=True):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if len(rows):
            rectangle[:2] = np.minimum(rectangle[:2], [columns[0], rows[0]])
            rectangle[2:] = np.maximum(rectangle[2:], [columns[-1] + 1, rows[-1] + 1])
    return rectangles


def _occupancy(rectangles: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """How many of the rectangles each pixel is in, int32 [H, W]."""
    count = np.zeros(shape, np.int32)
    for left, top, right, bottom in rectangles.clip(min=0):
        count[top:bottom, left:right] += 1
    return count


def _append(results: dict, source: dict, moves: dict[int, tuple[int, int]]) -> None:
    """Add the pasted instances, moved by (dx, dy) pixels, to the annotations."""
    chosen = np.array(list(moves))
    shifts = list(moves.values())
    boxes = source['gt_bboxes'].tensor[chosen]
    moved = HorizontalBoxes(boxes + boxes.new_tensor(shifts).repeat(1, 2))
    results['gt_bboxes'] = moved.cat([results['gt_bboxes'], moved])
    results['gt_masks'] = _moved_masks(results['gt_masks'], source['gt_masks'], moves)
    results['gt_bboxes_labels'] = np.concatenate([results['gt_bboxes_labels'], source['gt_bboxes_labels'][chosen]])
    results['gt_ignore_flags'] = np.concatenate([results['gt_ignore_flags'], source['gt_ignore_flags'][chosen]])


def _moved_masks(
    masks: BitmapMasks | PolygonMasks, source: BitmapMasks | PolygonMasks, moves: dict[int, tuple[int, int]]
) -> BitmapMasks | PolygonMasks:
    """``masks`` with those of ``source`` that ``moves`` names, moved."""
    if isinstance(masks, PolygonMasks):
        added = [
            [polygon + np.resize(move, polygon.shape).astype(polygon.dtype) for polygon in source.masks[index]]
            for index, move in moves.items()
        ]
        return PolygonMasks(masks.masks + added, masks.height, masks.width)
    added = np.zeros((len(moves), masks.height, masks.width), masks.masks.dtype)
    for canvas, (index, (dx, dy)) in zip(added, moves.items(), strict=True):
        rows, columns = np.nonzero(source.masks[index])
        canvas[rows + dy, columns + dx] = 1
    return BitmapMasks(np.concatenate([masks.masks, added]), masks.height, masks.width)
