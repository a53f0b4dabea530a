"""Figure of the feature maps that enter a neck, before and after its plugin layers (Fig. 8 of the paper)."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import cv2
import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mmcv.transforms import Compose
from mmdet.registry import DATASETS
from mmengine.dataset import BaseDataset, pseudo_collate
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from ...cli.choices import SCALES
from ...config.options import read_config
from ...datasets.wrappers import dataset_for_testing, pipeline_steps
from ...engine.fitting.weights import load_detector
from ...fileio import write_text
from ...visualization.figure_file import save_figure
from ...visualization.picture import as_picture
from ..images import ground_truth_of
from .feature_maps import (
    RULE_WITH_TARGETS,
    RULE_WITHOUT_TARGETS,
    Frame,
    Stage,
    box_region,
    capture_stages,
    choose_channels,
    measure_response,
)

_WIDTH = 7.16  # inches: both columns of a page
_RING = 2  # pixels between a target and its outline, so that small targets stay visible
_STYLE = {'font.size': 7, 'axes.titlesize': 6, 'axes.titlepad': 2, 'axes.labelsize': 7, 'axes.linewidth': 0.4}
_OUTLINE = '#56b4e9'  # not in the colour map
_DPI = 300
# Publishers ask for TrueType letters in PDF; the salt makes an SVG repeatable.


def draw_feature_maps(
    config: str | os.PathLike,
    checkpoint: str | os.PathLike,
    out: str | os.PathLike,
    image: str | os.PathLike | None = None,
    image_id: int | str | None = None,
    boxes: Sequence[Sequence[float]] = (),
    channels: int = 1,
    mean: bool = True,
    scale: str = 'map',
    crop: Sequence[int] | None = None,
    device: str | None = None,
    cfg_options: dict | None = None,
) -> dict:
    """Draws the feature maps of one image before (upper rows) and after (lower rows) the neck's plugin layers.

    The response of a channel is its absolute value: the convolution that follows has weights of either sign. The image
    passes the config's test pipeline, tone mapping and all.

    Args:
        config: Config file of a detector with a neck.
        checkpoint: Trained weights.
        out: Where the figure goes; the ending decides its format. ``OUT.json`` beside it gets what is returned.
        image: Image file; may be left out if ``image_id`` is given.
        image_id: Of the image in the test set's annotation file, whose masks are then the targets.
        boxes: Targets of an image without annotations: x, y, width, height in pixels of the file.
        channels: How many single channels to show; the same ones before and after.
        mean: Whether to show the mean response over all channels.
        scale: ``'map'``: each map is shown from 0 to its own maximum; ``'pair'``: before and after share the maximum.
        crop: Part of the image to show: x, y, width, height in pixels. All numbers are of the whole image.
        device: Defaults to the GPU if there is one.
        cfg_options: Settings that replace the config's.

    Returns:
        What is shown, ready for JSON: ``channel_rule``, and for each of the ``stages`` the ``mean`` over channels and
        the channels ``shown``, with the numbers of ``measure_response`` ``before`` and ``after``.

    Raises:
        FileNotFoundError: If there is no such checkpoint or image.
        ValueError: For arguments that do not fit together, an ``image_id`` that the test set does not have or that is
            of another file than ``image``, a box or crop beyond the image, or a model without a neck.
    """
    _check_arguments(image, image_id, boxes, channels, mean, scale)
    loaded = read_config(str(config), cfg_options)
    init_default_scope(loaded.get('default_scope', 'mmdet'))
    if image_id is None:
        # The pipeline's checks of the image file come before the model is built.
        sample = Compose(pipeline_steps(dataset_for_testing(loaded)))({'img_path': str(image), 'img_id': 0})
        shape = tuple(sample['data_samples'].metainfo['ori_shape'][:2])
        region, source, count = box_region(boxes, shape), 'boxes' if boxes else None, len(boxes)
    else:
        dataset = DATASETS.build(dataset_for_testing(loaded))
        index = _index_of(dataset, image_id, image)
        sample = dataset[index]
        masks = ground_truth_of(dataset, index).masks
        image = dataset.get_data_info(index)['img_path']
        region, source, count = masks.any(axis=0), 'masks' if len(masks) else None, len(masks)
    if region.all():
        raise ValueError(f'{image}: expected some background around the targets, got targets all over the image')
    left, top, width, height = crop if crop is not None else (0, 0, *region.shape[::-1])
    box_region([(left, top, width, height)], region.shape)  # within the image
    window = (slice(top, top + height), slice(left, left + width))

    model = load_detector(loaded, checkpoint, device)
    stages, frame = run_stages(model, sample)
    picture = as_picture(sample['inputs'], sample['data_samples'].metainfo)
    measured = [_measure_stage(stage, frame, region, channels) for stage in stages]
    report = {
        'config': str(config),
        'checkpoint': str(checkpoint),
        'image': str(image),
        'image_id': image_id,
        'crop': None if crop is None else [left, top, width, height],
        'targets': {'source': source, 'count': count, 'share_of_image': float(region.mean())},
        'response': 'absolute value',
        'channel_rule': RULE_WITH_TARGETS if source else RULE_WITHOUT_TARGETS,
        'scale': scale,
        'stages': measured,
    }
    maps = [_maps_to_draw(stage, frame, numbers, mean) for stage, numbers in zip(stages, measured, strict=True)]
    figure = _draw(
        picture[window], region[window], [{s: m[(..., *window)] for s, m in x.items()} for x in maps], report, mean
    )
    save_figure(figure, out)
    write_text(f'{out}.json', json.dumps(report, indent=2, allow_nan=False) + '\n')
    return report


def _check_arguments(
    image: object, image_id: int | str | None, boxes: Sequence, channels: int, mean: bool, scale: str
) -> None:
    if image is None and image_id is None:
        raise ValueError('expected an image file, the image_id of one in the test set, or both, got neither')
    if boxes and image_id is not None:
        raise ValueError('expected boxes or an image_id, whose masks are the targets, got both')
    if channels < 0 or (channels == 0 and not mean):
        raise ValueError(f'channels: expected at least 1, or 0 together with the mean, got {channels}')
    if scale not in SCALES:
        raise ValueError(f'scale: expected one of {SCALES}, got {scale!r}')


def _index_of(dataset: BaseDataset, image_id: int | str, image: str | os.PathLike | None) -> int:
    """Index of an image in a data set by its id in the annotation file."""
    ids = {str(dataset.get_data_info(i)['img_id']): i for i in range(len(dataset))}
    image_id = str(image_id)  # (as a command line has it)
    if image_id not in ids:
        known = sorted(ids, key=lambda i: (len(i), i))
        raise ValueError(f'image_id: expected one of the test set, from {known[0]} to {known[-1]}, got {image_id}')
    path = dataset.get_data_info(ids[image_id])['img_path']
    if image is not None and Path(image).name != Path(path).name:
        raise ValueError(f'image_id {image_id}: expected the id of {image}, got that of {path}')
    return ids[image_id]


def run_stages(model: nn.Module, sample: dict) -> tuple[list[Stage], Frame]:
    """What enters the model's neck for one image.

    Args:
        model: As :func:`load_detector` returns it.
        sample: As the test pipeline returns it.
    """
    batch = model.data_preprocessor(pseudo_collate([sample]), False)
    frame = Frame.of(batch['data_samples'][0].metainfo, batch['inputs'].shape[-2:])
    return capture_stages(model, batch['inputs']), frame


def _weights(stage: Stage, frame: Frame, region: np.ndarray) -> tuple[Tensor, Tensor]:
    return frame.weights(region, tuple(stage.before.shape[-2:]))


def _measure_stage(stage: Stage, frame: Frame, region: np.ndarray, count: int) -> dict:
    weights = _weights(stage, frame, region)
    chosen, scores = choose_channels(stage, *weights, count)
    entry = {
        'name': stage.name,
        'channels': len(stage.before),
        'size': list(stage.before.shape[-2:]),
        'plugin': stage.plugin,
        'read_by_neck': stage.read,
        'negative_share': {side: float((maps < 0).double().mean()) for side, maps in stage.sides.items()},
        'mean': {},
        'shown': [{'channel': channel, 'score': score} for channel, score in zip(chosen, scores, strict=True)],
    }
    for side, maps in stage.sides.items():
        responses = maps.abs()
        entry['mean'][side] = measure_response(responses.mean(0, keepdim=True), *weights)[0]
        for shown, numbers in zip(entry['shown'], measure_response(responses[chosen], *weights), strict=True):
            shown[side] = numbers
    return entry


def _maps_to_draw(stage: Stage, frame: Frame, measured: dict, mean: bool) -> dict[str, np.ndarray]:
    """By side, ``[K, H, W]`` at the file's size: the mean first if wanted, then the chosen channels."""
    chosen = [shown['channel'] for shown in measured['shown']]
    result = {}
    for side, maps in stage.sides.items():
        responses = maps.abs()
        picked = [responses.mean(0, keepdim=True)] if mean else []
        result[side] = frame.enlarge(torch.cat([*picked, responses[chosen]]))
    return result


def _draw(
    picture: np.ndarray, region: np.ndarray, maps: Sequence[dict[str, np.ndarray]], report: dict, mean: bool
) -> Figure:
    """Input and notes in the first column, then a column for each stage.

    Args:
        picture: uint8 ``[H, W, 3]``, RGB.
        region: Targets, bool ``[H, W]``.
        maps: Of each stage, see ``_maps_to_draw``, cropped like the picture.
        report: See ``draw_feature_maps``.
        mean: Whether the first map of each stage is the mean.
    """
    stages = report['stages']
    sides = ['before', 'after'] if any(stage['plugin'] for stage in stages) else ['before']
    count = max(len(m['before']) for m in maps)
    rows = count * len(sides)
    panel_width = (_WIDTH - 0.3) / (len(stages) + 1)
    panel_height = panel_width * region.shape[0] / region.shape[1] + 0.13
    ring = cv2.dilate(region.astype(np.uint8), np.ones((2 * _RING + 1,) * 2, np.uint8))
    with rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, max(rows, 2) * panel_height + 0.12), dpi=_DPI, layout='compressed')
        figure.get_layout_engine().set(w_pad=0.015, h_pad=0.015, wspace=0, hspace=0)
        axes = figure.subplots(max(rows, 2), len(stages) + 1, squeeze=False)
        for ax in axes.flat:
            ax.set(xticks=[], yticks=[])
        for ax in [*axes[1:, 0], *axes[rows:].flat]:
            ax.set_axis_off()
        _show(axes[0, 0], picture, ring)
        axes[0, 0].set_title(fill(Path(report['image']).name, 34))
        axes[1, 0].text(0, 1, _notes(report, sides), va='top', fontsize=5.5, transform=axes[1, 0].transAxes)
        for column, (stage, stage_maps) in enumerate(zip(stages, maps, strict=True), start=1):
            for k in range(count):
                row = k * len(sides)
                if k >= len(stage_maps['before']):  # a stage of fewer channels
                    for ax in axes[row : row + len(sides), column]:
                        ax.set_axis_off()
                    continue
                numbers = stage['mean'] if mean and k == 0 else stage['shown'][k - mean]
                label = 'mean' if mean and k == 0 else f'channel {numbers["channel"]}'
                shared = max(numbers[side]['max'] for side in stage_maps)
                for offset, side in enumerate(sides):
                    ax = axes[row + offset, column]
                    if side not in stage_maps:
                        note = 'unchanged:\nno plugin here' if stage['read_by_neck'] else 'not read\nby the neck'
                        ax.text(0.5, 0.5, note, ha='center', va='center', color='0.45', transform=ax.transAxes)
                        ax.set_box_aspect(region.shape[0] / region.shape[1])
                        ax.spines[:].set_color('0.8')
                    else:
                        top = shared if report['scale'] == 'pair' else numbers[side]['max']
                        _show(ax, stage_maps[side][k], ring, top)
                        ax.set_title(_caption(label, numbers[side]))
            heading = f'$\\bf{{{stage["name"]}}}$' + (f', {stage["plugin"]}' if stage['plugin'] else '')
            axes[0, column].set_title(f'{heading}\n{axes[0, column].get_title()}')
        for row in range(rows):
            axes[row, 1].set_ylabel(sides[row % len(sides)] if len(sides) > 1 else 'no plugin')
    return figure


def _show(ax: Axes, values: np.ndarray, ring: np.ndarray, top: float | None = None) -> None:
    ax.imshow(values, cmap='magma', vmin=0, vmax=top or 1, interpolation='nearest')
    if ring.any() and not ring.all():
        ax.contour(ring, [0.5], colors=_OUTLINE, linewidths=0.5)


def _caption(label: str, numbers: dict[str, float | None]) -> str:
    ratio = '' if numbers['ratio'] is None else f', T/B {numbers["ratio"]:.3g}'
    return f'{label}: 0 to {numbers["max"]:.2g}{ratio}'


def _notes(report: dict, sides: Sequence[str]) -> str:
    parts = ['Response: absolute value.']
    if report['scale'] == 'map' or len(sides) == 1:
        parts.append('Colours of each map: black 0, bright its own maximum, which is printed.')
    else:
        parts.append('Colours: black 0, bright the larger maximum of before and after; own maxima are printed.')
    if report['targets']['source']:
        parts.append('T/B: mean over the targets (blue) by mean over the background.')
    if len(sides) == 1:
        parts.append('This neck has no plugin layer: what it reads is shown once.')
    return '\n'.join(fill(part, 34) for part in parts)
