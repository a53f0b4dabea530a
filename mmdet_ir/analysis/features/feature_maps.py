"""Feature maps that enter a neck, before and after its plugin layers: what is read, measured and chosen.

After Wang & Ren, Symmetry 2025, 17, 1099, Fig. 8. ``draw_feature_maps`` of ``feature_map_figure`` draws them.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

RULE_WITH_TARGETS = (
    'largest contrast: mean response over the targets minus that over the background, in standard deviations of the '
    'channel over the image; mean of before and after'
)
RULE_WITHOUT_TARGETS = 'largest standard deviation of the response over the image; geometric mean of before and after'
_CONSTANT = 1e-6  # a deviation below this share of the largest value is float32's rounding


@dataclass(frozen=True)
class Frame:
    """Where an image lies in the network's input; all are height and width in pixels.

    Attributes:
        original: Of the file.
        resized: After the test pipeline; the top left part of the network's input.
        padded: Of the network's input.
    """

    original: tuple[int, int]
    resized: tuple[int, int]
    padded: tuple[int, int]

    @classmethod
    def of(cls, metainfo: dict, padded: Sequence[int]) -> 'Frame':
        """From a sample's ``ori_shape`` and ``scale_factor`` (width, height), and the size of the batch.

        Raises:
            ValueError: If the pipeline flipped the image.
        """
        if metainfo.get('flip'):
            raise ValueError('expected a test pipeline that does not flip the image, got a flipped one')
        height, width = metainfo['ori_shape'][:2]
        scale_w, scale_h = metainfo.get('scale_factor', (1, 1))
        return cls((height, width), (round(height * scale_h), round(width * scale_w)), tuple(padded))

    def weights(self, region: np.ndarray, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """How much of each cell of a feature map is inside a region, and how much outside of it.

        Padding is neither. Measuring on the map's own grid keeps all channels of a stage in memory at once.

        Args:
            region: bool, shape ``original``.
            size: Height and width of the feature map.

        Returns:
            Two float64 tensors ``[H, W]`` in 0..1.
        """
        # Linear enlargement would give a rim of the background to the targets.
        method = cv2.INTER_AREA if self.resized[0] < self.original[0] else cv2.INTER_NEAREST_EXACT
        inside = cv2.resize(region.astype(np.float32), self.resized[::-1], interpolation=method)
        planes = torch.zeros(2, *self.padded, dtype=torch.float64)
        planes[0, : self.resized[0], : self.resized[1]] = torch.from_numpy(inside)
        planes[1, : self.resized[0], : self.resized[1]] = torch.from_numpy(1 - inside)
        pooled = F.adaptive_avg_pool2d(planes, size)
        return pooled[0], pooled[1]

    def enlarge(self, maps: Tensor) -> np.ndarray:
        """Brings feature maps to the size of the image file, bilinearly; padding is cut off.

        Args:
            maps: ``[K, H, W]``, over the whole network input.

        Returns:
            float32, ``[K, *original]``.
        """
        maps = F.interpolate(maps[None].float(), self.padded, mode='bilinear', align_corners=False)
        maps = maps[..., : self.resized[0], : self.resized[1]]
        if self.resized != self.original:
            maps = F.interpolate(maps, self.original, mode='bilinear', align_corners=False, antialias=True)
        return maps[0].numpy()


@dataclass
class Stage:
    """One input of a neck.

    Attributes:
        name: ``C3`` for stride 8, and so on.
        before: ``[C, H, W]``, float32, as the backbone gives it.
        after: The same from the plugin layer, ``None`` without one.
        plugin: Class name of the plugin layer.
        read: Whether the neck reads this input at all.
    """

    name: str
    before: Tensor
    after: Tensor | None = None
    plugin: str | None = None
    read: bool = True

    @property
    def sides(self) -> dict[str, Tensor]:
        """Maps by ``'before'`` and, with a plugin, ``'after'``."""
        return {'before': self.before} | ({} if self.after is None else {'after': self.after})


def _plugged_neck(model: nn.Module) -> nn.Module:
    """The neck, or the part of a compound neck that holds plugin layers as ``PluginFPN`` does."""
    neck = getattr(model, 'neck', None)
    if not isinstance(neck, nn.Module):
        raise ValueError(f'expected a model with a neck, got {type(model).__name__} without one')
    return next((part for part in neck.modules() if isinstance(getattr(part, 'plugins', None), nn.ModuleDict)), neck)


def capture_stages(model: nn.Module, inputs: Tensor) -> list[Stage]:
    """Runs backbone and neck on one image and keeps what enters the neck and what its plugin layers make of it.

    The maps are copied when they pass, so a plugin that works in place does not change ``before``.

    Args:
        model: A detector of MMDetection, in evaluation mode.
        inputs: ``[1, channels, H, W]``, as the data preprocessor gives it.

    Returns:
        The inputs of the neck, in its order.

    Raises:
        ValueError: If the model has no neck, or a map holds NaN or infinity.
    """
    neck = _plugged_neck(model)
    plugins: dict[str, nn.Module] = dict(getattr(neck, 'plugins', None) or {})
    before: list[Tensor] = []
    after: dict[int, Tensor] = {}

    def copy(maps: Tensor) -> Tensor:
        return maps[0].detach().float().cpu().clone()

    def note_inputs(module: nn.Module, args: tuple) -> None:
        before.extend(copy(maps) for maps in args[0])

    def note_output(stage: int) -> Callable:
        def note(module: nn.Module, args: tuple, output: Tensor) -> None:
            after[stage] = copy(output)

        return note

    handles = [neck.register_forward_pre_hook(note_inputs)]
    handles += [plugin.register_forward_hook(note_output(int(stage))) for stage, plugin in plugins.items()]
    try:
        with torch.no_grad():
            model.extract_feat(inputs)
    finally:
        for handle in handles:
            handle.remove()

    first = getattr(neck, 'start_level', 0)
    stages = []
    for index, maps in enumerate(before):
        name = f'C{round(math.log2(inputs.shape[-2] / maps.shape[-2]))}'
        plugin = plugins.get(str(index))
        kind = None if plugin is None else type(plugin).__name__
        stages.append(Stage(name, maps, after.get(index), kind, index >= first))
        for side, values in stages[-1].sides.items():
            if not values.isfinite().all():
                raise ValueError(f'{name} {side} the plugin: expected finite numbers, got NaN or infinity')
    return stages


def mean_responses(maps: Tensor, inside: Tensor, outside: Tensor) -> tuple[Tensor, Tensor]:
    """Mean response of each channel over the targets and over the background.

    Args:
        maps: Responses, ``[C, H, W]``.
        inside: Weights of the targets, ``[H, W]``; not all 0.
        outside: The same of the background.

    Returns:
        Two float64 tensors ``[C]``.
    """
    maps = maps.double()
    return tuple((maps * weights).sum((1, 2)) / weights.sum() for weights in (inside, outside))


def contrast(maps: Tensor, inside: Tensor, outside: Tensor) -> Tensor:
    """Mean over the targets minus mean over the background, in standard deviations of the channel over the image.

    Args:
        maps: Responses, ``[C, H, W]``.
        inside: Weights of the targets, ``[H, W]``.
        outside: The same of the background.

    Returns:
        float64 ``[C]``; 0 for a constant channel.
    """
    target, background = mean_responses(maps, inside, outside)
    spread = deviation(maps, inside + outside)
    varies = spread > _CONSTANT * maps.double().abs().amax((1, 2))
    return torch.where(varies, (target - background) / spread.where(varies, spread.new_ones(())), 0)


def deviation(maps: Tensor, weights: Tensor) -> Tensor:
    """Standard deviation of each channel over the image: ``[C, H, W]`` and weights ``[H, W]`` to float64 ``[C]``."""
    maps = maps.double()
    mean = (maps * weights).sum((1, 2), keepdim=True) / weights.sum()
    return ((maps - mean).square() * weights).sum((1, 2)).div(weights.sum()).sqrt()


def choose_channels(stage: Stage, inside: Tensor, outside: Tensor, count: int) -> tuple[list[int], list[float]]:
    """The channels of a stage to show, by ``RULE_WITH_TARGETS`` or ``RULE_WITHOUT_TARGETS``.

    Both sides count alike: channels chosen before the plugin would make it look bad, those chosen after it good.

    Args:
        stage: See :class:`Stage`.
        inside: Weights of the targets, ``[H, W]``; all 0 if none are known.
        outside: The same of the rest of the image.
        count: How many; fewer if the stage has fewer.

    Returns:
        The channels, best first, and their scores.
    """
    sides = [maps.abs() for maps in stage.sides.values()]
    if inside.sum() > 0:
        scores = sum(contrast(maps, inside, outside) for maps in sides) / len(sides)
    else:
        scores = math.prod(deviation(maps, outside) for maps in sides) ** (1 / len(sides))
    order = np.argsort(-scores.numpy(), kind='stable')[:count].tolist()
    return order, scores[order].tolist()


def measure_response(maps: Tensor, inside: Tensor, outside: Tensor) -> list[dict[str, float | None]]:
    """Numbers for each map.

    Args:
        maps: Responses, ``[K, H, W]``.
        inside: Weights of the targets, ``[H, W]``; all 0 if none are known.
        outside: The same of the rest of the image.

    Returns:
        For each map ``max``, and the mean response over the targets (``target``), over the ``background``, and their
        ``ratio``. ``None`` where there are no targets, or no response on the background to divide by.
    """
    largest = maps.amax((1, 2)).tolist()
    if inside.sum() == 0:
        return [{'max': value, 'target': None, 'background': None, 'ratio': None} for value in largest]
    means = zip(*(values.tolist() for values in mean_responses(maps, inside, outside)), strict=True)
    return [
        {'max': value, 'target': target, 'background': rest, 'ratio': target / rest if rest > 0 else None}
        for value, (target, rest) in zip(largest, means, strict=True)
    ]


def box_region(boxes: Sequence[Sequence[float]], shape: tuple[int, int]) -> np.ndarray:
    """Pixels within boxes.

    Args:
        boxes: x, y, width, height in pixels of the image.
        shape: Height and width of the image.

    Returns:
        bool ``[H, W]``.

    Raises:
        ValueError: If a box is empty or reaches out of the image.
    """
    region = np.zeros(shape, bool)
    for x, y, width, height in boxes:
        left, top, right, bottom = round(x), round(y), round(x + width), round(y + height)
        if not (0 <= left < right <= shape[1] and 0 <= top < bottom <= shape[0]):
            raise ValueError(
                f'box {x:g} {y:g} {width:g} {height:g}: expected x, y, width and height of at least a pixel within '
                f'the image of {shape[1]}x{shape[0]}'
            )
        region[top:bottom, left:right] = True
    return region
