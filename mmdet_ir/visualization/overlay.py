"""Detections drawn on an image so that targets of a few pixels stay visible: nothing is painted over them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from mmdet.structures.mask import mask2bbox
from mmengine.structures import InstanceData
from pycocotools import mask as mask_utils

from ..binary_masks import binary_masks
from ..fileio import whole_file

_AIM = 960  # pixels of the longer side that small images are enlarged to, at most
_FILLED = 24**2  # smaller targets, in pixels of the drawing, get an outline only
_FONT, _FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.4
_MARGIN = 3  # pixels between target, box and label


@dataclass(frozen=True)
class FoundInstance:
    """A detection, its mask as run-length code and as the part of the image that it covers.

    Attributes:
        label: Index of the class.
        score: In 0..1.
        box: xyxy in pixels of the image.
        rle: COCO's compressed code of the mask, ``counts`` as text.
        area: Pixels of the mask.
        corner: Column and row of the first pixel of ``crop`` in the image.
        crop: ``[h, w]`` bool; ``[0, 0]`` for an empty mask.
        track: Number of its track in a video; ``None`` without a tracker.
    """

    label: int
    score: float
    box: tuple[float, float, float, float]
    rle: dict
    area: int
    corner: tuple[int, int]
    crop: np.ndarray
    track: int | None = None


def find_instances(prediction: InstanceData, thresholds: np.ndarray) -> list[FoundInstance]:
    """Detections of an image that score enough, best first.

    The full-size masks are looked at one by one, so that only the model's own ones are in memory.

    Args:
        prediction: ``bboxes`` ``[N, 4]`` xyxy, ``scores``, ``labels``, ``masks`` ``[N, H, W]`` bool. Boxes that are
            all zero (SOLOv2) are replaced by those of the masks.
        thresholds: Lowest score of each class.

    Raises:
        ValueError: If masks are not binary.

    Example:
        >>> import numpy as np
        >>> from mmdet_ir.apis import IRInferencer
        >>> from mmdet_ir.visualization import find_instances
        >>> inferencer = IRInferencer('config.py', 'weights.pth', 'cpu', show_progress=False)
        >>> data = inferencer.prepare(inferencer.read('images/0.png'), 'images/0.png')
        >>> found = find_instances(inferencer.predict([data])[0], np.zeros(4))
        >>> found[0].score >= found[-1].score  # best first
        True
    """
    scores, labels = prediction.scores.float().cpu().numpy(), prediction.labels.cpu().numpy()
    kept = np.flatnonzero(scores >= thresholds[labels])
    instances = []
    for i in kept[np.argsort(-scores[kept], kind='stable')]:
        mask, box = prediction.masks[int(i)], prediction.bboxes[int(i)]
        mask = torch.as_tensor(mask)
        if not box.any():
            box = mask2bbox(mask[None])[0]
        mask = np.asfortranarray(binary_masks(mask).cpu().numpy(), dtype=np.uint8)
        rle = mask_utils.encode(mask)
        x, y, width, height = (int(value) for value in mask_utils.toBbox(rle))
        instances.append(
            FoundInstance(
                label=int(labels[i]),
                score=float(scores[i]),
                box=tuple(box.tolist()),
                rle={'size': list(mask.shape), 'counts': rle['counts'].decode('ascii')},
                area=int(mask_utils.area(rle)),
                corner=(x, y),
                crop=mask[y : y + height, x : x + width].astype(bool),
            )
        )
    return instances


def default_scale(size: tuple[int, int]) -> int:
    """By how much an image of this height and width is enlarged for drawing: up to 960 pixels, never reduced."""
    return max(1, _AIM // max(size))


def draw_instances(
    picture: np.ndarray,
    instances: Sequence[FoundInstance],
    classes: Sequence[str],
    colors: Sequence[tuple[int, int, int]],
    scale: int | None = None,
    labels: bool = True,
) -> np.ndarray:
    """Draws contour, thin box, class and score of each instance.

    The contour runs outside of the mask, the label stands beside its box where it hides no other target if there is
    such a place, and only masks of some size are tinted.

    Args:
        picture: ``[H, W, 3]`` uint8, RGB.
        instances: In pixels of the picture.
        classes: Names, by label.
        colors: RGB in 0..255, by label.
        scale: Enlarges the picture by this whole number; ``None`` by ``default_scale``.
        labels: Whether class and score are written; where targets stand densely, labels hide them.

    Returns:
        ``[scale * H, scale * W, 3]`` uint8, RGB.

    Example:
        >>> import numpy as np
        >>> from mmdet_ir.visualization import draw_instances
        >>> draw_instances(np.zeros((60, 88, 3), np.uint8), [], ('human',), [(220, 20, 60)], scale=2).shape
        (120, 176, 3)
    """
    scale = scale or default_scale(picture.shape[:2])
    height, width = (scale * side for side in picture.shape[:2])
    canvas = cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC) if scale > 1 else picture.copy()
    frames = [_frame(instance, scale, (width, height)) for instance in instances]
    large_first = sorted(range(len(instances)), key=lambda i: -instances[i].area)
    for i in large_first:
        color = tuple(int(value) for value in colors[instances[i].label])
        _draw_mask(canvas, instances[i], color, scale)
        x1, y1, x2, y2 = frames[i]
        cv2.rectangle(canvas, (x1, y1), (x2, y2), color, 1)
    taken = np.zeros((2 * len(frames), 4), np.int64)  # boxes, then the labels that have been placed
    taken[: len(frames)] = np.array(frames).reshape(-1, 4)
    for i, instance in enumerate(instances if labels else ()):
        number = '' if instance.track is None else f' #{instance.track}'
        text = f'{classes[instance.label]}{number} {instance.score:.2f}'
        place = _place(text, frames[i], taken[: len(frames) + i], (width, height))
        taken[len(frames) + i] = place
        _write(canvas, text, place, colors[instance.label])
    return canvas


def write_picture(path: str | os.PathLike, picture: np.ndarray) -> None:
    """Writes a picture in RGB; complete or not there. The ending decides the format.

    Raises:
        ValueError: If OpenCV cannot write such a file, or the disk is full or protected.
    """
    path = Path(path)
    if not cv2.haveImageWriter(path.name):
        raise ValueError(f'{path}: expected the ending of a picture format, got {path.suffix!r}')
    _, content = cv2.imencode(path.suffix, picture[..., ::-1])
    with whole_file(path) as file:
        file.write(content)


def _frame(instance: FoundInstance, scale: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Corners of the drawn box, outside of the target and within the canvas."""
    x1, y1, x2, y2 = (scale * value for value in instance.box)
    return (
        max(int(x1) - _MARGIN, 0),
        max(int(y1) - _MARGIN, 0),
        min(int(np.ceil(x2)) + _MARGIN, size[0] - 1),
        min(int(np.ceil(y2)) + _MARGIN, size[1] - 1),
    )


def _draw_mask(canvas: np.ndarray, instance: FoundInstance, color: tuple[int, int, int], scale: int) -> None:
    if not instance.area:
        return
    enlarged = np.kron(instance.crop, np.ones((scale, scale), np.uint8)).astype(np.uint8)
    x, y = (scale * value for value in instance.corner)
    if scale**2 * instance.area >= _FILLED:
        part = canvas[y : y + enlarged.shape[0], x : x + enlarged.shape[1]]
        inside = enlarged > 0
        part[inside] = (0.75 * part[inside] + 0.25 * np.array(color)).astype(np.uint8)
    grown = cv2.dilate(np.pad(enlarged, 1), np.ones((3, 3), np.uint8))
    contours, _ = cv2.findContours(grown, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=(x - 1, y - 1))
    cv2.drawContours(canvas, contours, -1, color, 1)


def _place(
    text: str, frame: tuple[int, int, int, int], taken: np.ndarray, size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Where the label goes: right of the box, left, above or below, whichever hides least of ``taken`` ``[N, 4]``."""
    (width, height), baseline = cv2.getTextSize(text, _FONT, _FONT_SCALE, 1)
    width, height = width + 2, height + baseline + 2
    x1, y1, x2, y2 = frame
    best, least = None, None
    for x, y in (
        (x2 + _MARGIN, y1),
        (x1 - width - _MARGIN, y1),
        (x1, y1 - height - _MARGIN),
        (x1, y2 + _MARGIN),
        (x2 + _MARGIN, y2 - height),
        (x1 - width - _MARGIN, y2 - height),
    ):
        inside_x, inside_y = min(max(x, 0), max(size[0] - width, 0)), min(max(y, 0), max(size[1] - height, 0))
        place = (inside_x, inside_y, inside_x + width, inside_y + height)
        hidden = _hidden(place, taken)
        if least is None or hidden < least:
            best, least = place, hidden
        if not hidden:
            break
    return best


def _hidden(place: tuple[int, int, int, int], taken: np.ndarray) -> int:
    """Pixels of the frames ``[N, 4]`` that a label at this place hides, summed over the frames."""
    x1, y1, x2, y2 = taken.T
    width = np.minimum(place[2], x2) - np.maximum(place[0], x1)
    height = np.minimum(place[3], y2) - np.maximum(place[1], y1)
    return int((np.maximum(width, 0) * np.maximum(height, 0)).sum())


def _write(canvas: np.ndarray, text: str, place: tuple[int, int, int, int], color: Sequence[int]) -> None:
    x1, y1, x2, y2 = place
    part = canvas[y1:y2, x1:x2]
    part[:] = part // 2  # dark ground, for letters on white-hot scenes
    bright = tuple(int(127 + value // 2) for value in color)
    baseline = cv2.getTextSize(text, _FONT, _FONT_SCALE, 1)[1]
    cv2.putText(canvas, text, (x1 + 1, y2 - baseline), _FONT, _FONT_SCALE, bright, 1, cv2.LINE_AA)
