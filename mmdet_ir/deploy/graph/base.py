"""What all exportable detectors share: inputs, outputs, NMS, and the refusal of parts that are not supported."""

from abc import abstractmethod

import torch
import torchvision
from mmdet.models.detectors.base import BaseDetector
from torch import Tensor, nn

from ...cli.choices import MASKS
from .graph_input import GraphInput
from .sizes import Size, as_tensor

OUTPUTS = ('boxes', 'scores', 'labels', 'image', 'masks')
NONE = -1.0  # score of a place without a box; real ones are 0 to 1
Detections = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]  # OUTPUTS


class ExportableDetector(nn.Module):
    """A detector with masks, from the image as stored to detections.

    Args:
        detector: Trained, in evaluation mode.
        prepare: What happens to the image before the network.
        masks: ``'raw'`` for the mask head's own grid over each box, ``'pasted'`` for masks of the image.

    Attributes:
        over_boxes: Whether the mask head predicts grids over boxes; else its masks are of the whole image, and there
            are no raw ones.
        boxes_of_masks: Whether boxes are those around the masks, since the detector predicts none.

    Raises:
        ValueError: If the detector has a part, or a setting, that is not supported; the message names it.
    """

    over_boxes = False
    boxes_of_masks = False

    def __init__(self, detector: BaseDetector, prepare: GraphInput, masks: str | None = None) -> None:
        super().__init__()
        masks = masks or (MASKS[0] if self.over_boxes else MASKS[1])
        if masks not in MASKS:
            raise ValueError(f'masks: expected one of {MASKS}, got {masks!r}')
        self.check(detector)
        if masks == 'raw' and not self.over_boxes:
            raise ValueError(
                f'masks: expected {MASKS[1]!r} for {type(detector).__name__}, whose masks are not grids over boxes, '
                f'got {masks!r}'
            )
        self.detector = detector
        self.prepare = prepare
        self.masks = masks

    @staticmethod
    @abstractmethod
    def check(detector: nn.Module) -> None:
        """Refuses what the graph would not do as MMDetection does it.

        Raises:
            ValueError: Naming the part of the config.
        """

    @staticmethod
    @abstractmethod
    def mask_threshold(detector: nn.Module) -> tuple[dict, str]:
        """Settings that hold the probability from which a pixel belongs to a mask, and its key in them."""

    @abstractmethod
    def thresholds(self) -> dict:
        """``score_threshold``, ``nms_iou_threshold`` and ``max_per_image``; ``None`` for what does not exist."""

    @abstractmethod
    def detect(self, features: tuple[Tensor, ...], size: tuple[Size, Size], stored: tuple[Size, Size]) -> Detections:
        """Detections from feature maps; sizes are height and width in the network's input and as stored."""

    def forward(self, images: Tensor) -> Detections:
        """Detects.

        Args:
            images: ``[N, channels, H, W]`` as stored, see ``GraphInput``.

        Returns:
            Of the D detections in all images, ordered by image and then by score: boxes ``[D, 4]``, xyxy in pixels of
            the image as stored; scores ``[D]``; labels ``[D]``; number of the image in the batch ``[D]``; masks:
            probabilities ``[D, m, m]`` over the box, or bool ``[D, H, W]``.
        """
        inputs, size, stored = self.prepare(images)
        return self.detect(self.detector.extract_feat(inputs), size, stored)

    def padded(self, size: tuple[Size, Size]) -> tuple[Size, Size]:
        """Height and width of the network's input, of which ``size`` is the image."""
        divisor = self.prepare.preprocessor.pad_size_divisor
        return tuple((side + divisor - 1) // divisor * divisor for side in size)

    def rescale(self, boxes: Tensor, size: tuple[Size, Size], stored: tuple[Size, Size]) -> Tensor:
        """Boxes ``[..., 4]`` in pixels of the image as stored."""
        if self.prepare.resizing is None:
            return boxes
        new, old = (torch.stack([as_tensor(side, boxes) for side in reversed(sides)]) for sides in (size, stored))
        return boxes / (new / old).repeat(2)


def best(scores: Tensor, limit: int) -> tuple[Tensor, Tensor]:
    """The best of each row and where they are; sizes that are not known yet are filled up to the limit."""
    count = scores.shape[1]
    if type(count) is int:
        return scores.topk(min(limit, count), dim=1)
    filling = scores.new_full((1, limit), NONE).expand(scores.shape[0], -1)
    highest, order = torch.cat((scores, filling), dim=1).topk(limit, dim=1)
    return highest, torch.where(highest > NONE, order, 0)


def nms(boxes: Tensor, scores: Tensor, groups: Tensor, iou_threshold: float) -> Tensor:
    """NMS; boxes of different groups do not meet.

    Args:
        boxes: ``[B, 4]`` xyxy, not negative.
        scores: ``[B]``.
        groups: ``[B, 2]``; one number shifts in x and one in y, so that the shifts stay small and float32 precise.
        iou_threshold: A box is dropped when its IoU with a better one is greater than this.

    Returns:
        Bool ``[B]``, what is kept.
    """
    # Two boxes without area are added, which suppress none: runtimes want at least one box, and torch.export takes it
    # for granted that NMS keeps two.
    boxes = torch.cat((boxes, boxes.new_zeros(2, 4)))
    scores = torch.cat((scores, scores.new_full((2,), NONE)))
    shift = torch.cat((groups, groups.new_zeros(2, 2))) * (boxes.flatten().amax(dim=0) + 1)
    chosen = torchvision.ops.nms(boxes + shift.repeat(1, 2), scores, iou_threshold)
    return torch.zeros_like(scores).scatter(0, chosen, 1.0)[:-2] > 0


def keep_best(
    boxes: Tensor, scores: Tensor, passed: Tensor, groups: Tensor, iou_threshold: float, limit: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The detections of a batch that NMS leaves, at most ``limit`` of an image, ordered by image and then by score.

    Args:
        boxes: Candidates of each image, ``[N, B, 4]`` xyxy.
        scores: ``[N, B]``.
        passed: Which of them take part, indices into the flattened ``[N * B]``.
        groups: Of those, see :func:`nms`.
        iou_threshold: A box is dropped when its IoU with a better one is greater than this.
        limit: At most ``B``.

    Returns:
        Scores ``[D]``, numbers of the images ``[D]``, and which candidate of its image each is ``[D]``.
    """
    chosen = nms(boxes.flatten(0, 1)[passed], scores.flatten()[passed], groups, iou_threshold)
    kept = torch.zeros_like(scores).flatten().scatter(0, passed, chosen.to(scores)).view_as(scores) > 0
    highest, order = torch.where(kept, scores, NONE).topk(limit, dim=1)
    image, rank = (highest > NONE).nonzero().unbind(1)
    return highest[image, rank], image, order[image, rank]


def boxes_around(masks: Tensor) -> Tensor:
    """Boxes ``[D, 4]``, xyxy in pixels, around masks ``[D, H, W]``; zeros for an empty mask."""
    ends = []
    for axis in (1, 2):  # is a column, is a row part of it
        inside = masks.float().amax(dim=axis)
        place = torch.arange(inside.shape[1], device=masks.device)
        last = (inside * (place + 1)).amax(dim=1)
        first = inside.shape[1] - (inside * (inside.shape[1] - place)).amax(dim=1)
        ends += [torch.where(last > 0, first.to(last), 0.0), last]
    return torch.stack((ends[0], ends[2], ends[1], ends[3]), dim=1)


def require(part: object, kind: type | tuple[type, ...], name: str, exact: bool = False) -> None:
    """Refuses a part of another type.

    Raises:
        ValueError: Naming the part and both types.
    """
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if not (type(part) in kinds if exact else isinstance(part, kinds)):
        expected = ' or '.join(one.__name__ for one in kinds)
        raise ValueError(f'export: {name}: expected {expected}, got {type(part).__name__}')


def expect(name: str, value: object, expected: object) -> None:
    """Refuses another value.

    Raises:
        ValueError: Naming the setting and both values.
    """
    if value != expected:
        raise ValueError(f'export: {name}: expected {expected!r}, got {value!r}')


def expect_limit(name: str, limit: int) -> None:
    """Refuses a list without a limit, which MMDetection writes as -1.

    Raises:
        ValueError: Naming the setting.
    """
    if limit < 1:
        raise ValueError(f'export: model.test_cfg.{name}: expected a number from 1 on, got {limit}')


def expect_plain_nms(name: str, cfg: dict) -> None:
    """Refuses soft NMS and other settings than its threshold.

    Raises:
        ValueError: Naming the setting.
    """
    expect(f'test_cfg.{name}.type', cfg.get('type', 'nms'), 'nms')
    expect(f'test_cfg.{name}', sorted(set(cfg) - {'type', 'split_thr'}), ['iou_threshold'])
