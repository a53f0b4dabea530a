"""A page that shows a data set as the model sees it, and its statistics: one HTML file without anything external."""

import base64
import os
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from mmdet.registry import DATASETS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import PolygonMasks
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from tqdm import tqdm

from ...cli import Skipped, reading
from ...cli.choices import SPLITS
from ...config.options import read_config
from ...config.types import with_type_names
from ...datasets.wrappers import leaves
from ...evaluation.contrast import RING_WIDTH
from ...fileio import write_text
from ...palette import palette_for
from ...visualization.grid import draw_panel
from ...visualization.picture import as_picture
from ..images import select_images
from .plots import plot_classes, plot_contrasts, plot_per_image, plot_places, plot_sizes
from .statistics import Statistics, measure_split

_DPI = 100
_CSS = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 1240px; margin: 2em auto;
  padding: 0 1.2em; }
h1 { font-size: 1.5em; margin-bottom: 0; } h2 { font-size: 1.2em; margin-top: 2em; border-bottom: 1px solid #ddd; }
table { border-collapse: collapse; margin: .8em 0; }
th, td { padding: .25em .9em; text-align: right; white-space: nowrap; }
th { font-weight: 600; border-bottom: 2px solid #ccc; } td { border-bottom: 1px solid #eee; }
th.group { text-align: center; }
th:first-child, td:first-child { text-align: left; }
p.note { color: #555; max-width: 60em; }
.scroll { overflow-x: auto; }
.chip { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .45em; }
.legend span { margin-right: 1.4em; }
.plots { display: flex; flex-wrap: wrap; gap: 1em 2em; align-items: flex-start; }
.plots figure { margin: 0; display: table; } .plots img { max-width: 100%; }
.plots figcaption { display: table-caption; caption-side: bottom; }
figcaption { color: #555; font-size: .85em; overflow-wrap: anywhere; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(560px, 100%), 1fr)); gap: 1em;
  align-items: start; }
.pictures figure { margin: 0; } .pictures img { width: 100%; display: block; }
"""


def browse(
    config: str | os.PathLike | Config,
    out: str | os.PathLike,
    split: str = 'train',
    count: int = 24,
    max_images: int = 300,
    progress: bool = False,
    skipped: Skipped | None = None,
) -> list[int]:
    """Write the page.

    Args:
        config: A config, or its file.
        out: The HTML file.
        split: Whose images are shown: ``train``, ``val`` or ``test``.
        count: How many images, chosen to show all classes.
        max_images: Images of each split that are read for the contrasts.
        progress: Whether to show progress bars.
        skipped: Gets the images that cannot be read; without it the first of them is an error.

    Returns:
        The indices of the images that are shown.

    Raises:
        ValueError: If the config has no such split, or ``count`` is not positive.
    """
    if count < 1:
        raise ValueError(f'count: expected at least 1 image, got {count}')
    config = with_type_names(config) if isinstance(config, Config) else read_config(str(config))
    present = [name for name in SPLITS if (config.get(f'{name}_dataloader') or {}).get('dataset')]
    if split not in present:
        raise ValueError(f'{config.filename}: expected split to be one of {present}, got {split!r}')
    with DefaultScope.overwrite_default_scope(config.get('default_scope', 'mmdet')):
        built = {name: DATASETS.build(config[f'{name}_dataloader'].dataset) for name in present}
        shown = built[split]
        samples = {}
        for i in tqdm(select_images(shown, count), desc='images', disable=not progress):
            with reading(skipped, shown.get_data_info(i)['img_path']):
                samples[i] = shown[i]
    indices = list(samples)
    if skipped is not None:
        skipped.require_some(samples)
    sets = _statistics(built, max_images, progress, skipped)
    meta = leaves(shown)[0].metainfo
    classes = meta['classes']
    colors = np.asarray(palette_for(len(classes), meta.get('palette')), float) / 255
    title = Path(config.filename).name if config.filename else 'data set'
    parts = [
        f'<h1>{escape(title)}</h1>',
        _legend(classes, colors),
        '<h2>Statistics</h2>',
        _set_table(sets),
        _class_table(sets, classes, colors),
        '<div class="plots">',
        _plot(plot_classes(sets, classes), 'Targets of each class.'),
        _plot(plot_per_image(sets), 'Targets in an image.'),
        _plot(plot_sizes(sets, classes, colors), 'Sizes of the targets.'),
        _plot(
            plot_contrasts(sets, classes, colors),
            f'Signal-to-clutter ratio (SCR): mean of the target minus mean of the {RING_WIDTH} pixels around it, over '
            'their standard deviation, in the values of the file. The outer bars hold what lies beyond.',
        ),
        _plot(plot_places(sets, classes, colors), 'Centres of the targets (4,000 at most).'),
        '</div>',
        f'<h2>{escape(split)} images after the pipeline</h2>',
        f'<p class="note">{len(indices)} of {len(shown)}, chosen to show all classes; at the size and with the values '
        'that the model gets, before normalisation. Left as it is, right with boxes and masks.</p>',
        '<div class="pictures">',
        *_pictures(list(samples.values()), classes, colors),
        '</div>',
    ]
    write_text(
        out,
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width"><title>{escape(title)}</title><style>{_CSS}</style></head><body>\n'
        + '\n'.join(parts)
        + '\n</body></html>\n',
    )
    return indices


def _statistics(
    built: dict[str, object], max_images: int, progress: bool, skipped: Skipped | None
) -> list[Statistics]:
    """Of each annotation file once, named after the splits that read it."""
    names: dict[tuple, list[str]] = {}
    parts = {}
    for name, dataset in built.items():
        for leaf in leaves(dataset):
            key = (str(leaf.ann_file), str(leaf.data_prefix))
            names.setdefault(key, []).append(name)
            parts.setdefault(key, leaf)
    return [measure_split(', '.join(names[key]), leaf, max_images, progress, skipped) for key, leaf in parts.items()]


def _uri(kind: str, content: bytes) -> str:
    return f'data:image/{kind};base64,{base64.b64encode(content).decode()}'


def _plot(svg: str, caption: str) -> str:
    source = _uri('svg+xml', svg.encode())
    return f'<figure><img src="{source}" alt="{escape(caption)}"><figcaption>{escape(caption)}</figcaption></figure>'


def _chip(color: np.ndarray) -> str:
    red, green, blue = (255 * color).round().astype(int).tolist()
    return f'<i class="chip" style="background: rgb({red} {green} {blue})"></i>'


def _legend(classes: Sequence[str], colors: np.ndarray) -> str:
    entries = ''.join(f'<span>{_chip(c)}{escape(name)}</span>' for name, c in zip(classes, colors, strict=True))
    return f'<p class="legend">{entries}</p>'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], groups: str = '') -> str:
    lines = [''.join(f'<td>{cell}</td>' for cell in row) for row in rows]
    first = ''.join(f'<th>{cell}</th>' for cell in head)
    body = ''.join(f'<tr>{line}</tr>' for line in lines)
    return f'<div class="scroll"><table>{groups}<tr>{first}</tr>{body}</table></div>'


def _set_table(sets: Sequence[Statistics]) -> str:
    rows = []
    for s in sets:
        common = [f'{w}x{h}: {n}' for (w, h), n in s.sizes.most_common(3)]
        sizes = ', '.join(common) + (' ...' if len(s.sizes) > 3 else '')
        depths = ', '.join(s.depths)
        rows.append(
            [
                escape(s.name),
                f'{len(s.per_image)}',
                f'{len(s.labels)}',
                f'{(s.per_image == 0).sum()}',
                f'{s.ignored}',
                sizes,
                depths,
            ]
        )
    head = ('split', 'images', 'targets', 'images without targets', 'ignored regions', 'sizes', 'pixels')
    return _table(head, rows)


def _class_table(sets: Sequence[Statistics], classes: Sequence[str], colors: np.ndarray) -> str:
    rows = []
    for label, name in enumerate(classes):
        row = [f'{_chip(colors[label])}{escape(name)}']
        for s in sets:
            sides, ratios = s.sides[s.labels == label], s.contrasts[s.contrast_labels == label]
            row.append(f'{len(sides)} ({100 * len(sides) / max(len(s.labels), 1):.0f} %)')
            row.append(f'{np.median(sides):.1f}' if len(sides) else '-')
            row.append(f'{np.median(np.abs(ratios)):.1f}' if len(ratios) else '-')
            row.append(f'{100 * (ratios > 0).mean():.0f} %' if len(ratios) else '-')
        rows.append(row)
    columns = ('targets', 'median size', 'median |SCR|', 'brighter')
    groups = ''.join(f'<th class="group" colspan="{len(columns)}">{escape(s.name)}</th>' for s in sets)
    return _table(['class', *(columns * len(sets))], rows, f'<tr><th></th>{groups}</tr>')


def _pictures(samples: Sequence[dict], classes: Sequence[str], colors: np.ndarray) -> Iterator[str]:
    for sample in samples:
        data = sample['data_samples']
        image = as_picture(sample['inputs'], {'ori_shape': tuple(sample['inputs'].shape[1:])})
        instances = _instances(data, image.shape[:2])
        width = int(np.clip(image.shape[1], 420, 640))  # names stay legible
        drawn = cv2.imencode(
            '.jpg', draw_pair(image, instances, classes, colors, width)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88]
        )[1]
        height, width = image.shape[:2]
        number = f'{len(instances)} target{"s" * (len(instances) != 1)}'
        caption = f'{Path(data.metainfo.get("img_path", "")).name}, {width}x{height}, {number}'
        yield (
            f'<figure><img src="{_uri("jpeg", drawn.tobytes())}" alt="{escape(caption)}">'
            f'<figcaption>{escape(caption)}</figcaption></figure>'
        )


def _instances(sample: DetDataSample, shape: tuple[int, int]) -> InstanceData:
    """Targets as NumPy arrays, in pixels of the model's input; without masks the boxes alone."""
    truth = sample.gt_instances
    boxes = truth.bboxes.tensor if hasattr(truth.bboxes, 'tensor') else truth.bboxes
    masks = truth.get('masks')
    if masks is None:
        masks = np.zeros((len(truth), *shape), bool)
    else:
        masks = (masks.to_bitmap() if isinstance(masks, PolygonMasks) else masks).masks.astype(bool)
    return InstanceData(
        bboxes=boxes.numpy().reshape(-1, 4), labels=truth.labels.numpy(), masks=masks.reshape(-1, *shape)
    )


def draw_pair(
    image: np.ndarray, instances: InstanceData, classes: Sequence[str], colors: np.ndarray, width: int = 420
) -> np.ndarray:
    """The image as it is, and beside it with boxes, masks and names.

    Args:
        image: uint8 ``[H, W, 3]``, RGB.
        instances: ``bboxes`` ``[N, 4]`` in pixels, ``labels`` and ``masks`` ``[N, H, W]``.
        classes: Class names, by label.
        colors: ``[classes, 3]`` in 0..1, by label.
        width: Of each of the two, in pixels.

    Returns:
        uint8 ``[H', 2 * width, 3]``, RGB.
    """
    height = round(image.shape[0] * width / image.shape[1])
    figure = Figure(figsize=(2 * width / _DPI, height / _DPI), dpi=_DPI)
    canvas = FigureCanvasAgg(figure)
    for left, shown in ((0, None), (0.5, instances)):
        axes = figure.add_axes((left, 0, 0.5, 1))
        draw_panel(axes, image, shown, classes, colors, (width, height))
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
