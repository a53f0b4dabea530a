"""Masks for a COCO file that has boxes, from the image or from a trained model; marked as derived."""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..cli import Skipped, reading
from ..cli.choices import MASK_METHODS as METHODS
from ..cli.choices import MIN_IOU
from ..datasets.coco_files import add_info, check_file_name, read_coco, refuse, write_coco
from ..datasets.converters.boxes_to_coco import LOOSE_BOXES, clip_box, occupied_pixels
from ..datasets.converters.class_names import FOUR_CLASSES, class_of
from ..datasets.derived_masks import (
    LOOSE,
    TIGHT,
    BoxFit,
    DerivedMask,
    box_corners,
    derive_ellipse_mask,
    derive_threshold_mask,
    outline_polygons,
    polygons_area,
)
from ..datasets.images.files import grey_levels
from ..datasets.images.infrared_io import read_infrared
from ..datasets.validation.checks.masks import parse_masks, show_nothing
from .masks_in_boxes import MasksInBoxes
from .sam_masks import SamInBoxes


@dataclass
class DerivedCounts:
    """What became of the annotations. ``str()`` is a table for the user.

    Attributes:
        methods: Masks made, by class and ``mask_method``.
        kept: Exact masks left as they were, by class.
        ignored: Ignored regions (``iscrowd``) left as they were, by class.
        fallbacks: Boxes for which the model gave no mask, by reason.
    """

    methods: Counter = field(default_factory=Counter)
    kept: Counter = field(default_factory=Counter)
    ignored: Counter = field(default_factory=Counter)
    fallbacks: Counter = field(default_factory=Counter)

    def __str__(self) -> str:
        names = dict.fromkeys([name for name, _ in self.methods] + [*self.kept, *self.ignored])
        methods = sorted({method for _, method in self.methods})
        columns = [*methods, *(['kept'] if self.kept else []), *(['ignored region'] if self.ignored else [])]
        width = max(len(name) for name in ['class', 'all', *names])
        rows = []
        for name in names:
            counts = [self.methods[name, method] for method in methods]
            counts += [self.kept[name]] if self.kept else []
            counts += [self.ignored[name]] if self.ignored else []
            rows.append((name, counts))
        rows.append(('all', np.sum([counts for _, counts in rows], axis=0).astype(int).tolist() if rows else []))
        lines = ['  '.join([f'{"class":{width}}', *columns])]
        for name, counts in rows:
            cells = [f'{n:{len(column)}d}' for n, column in zip(counts, columns, strict=False)]
            lines.append('  '.join([f'{name:{width}}', *cells]))
        lines += [f'not from the model: {n} {reason}' for reason, n in self.fallbacks.items()]
        return '\n'.join(lines)


def derive_masks(
    annotations: str | os.PathLike,
    images: str | os.PathLike,
    out: str | os.PathLike,
    method: str = 'threshold',
    model: tuple[str, str] | None = None,
    *,
    replace: bool = False,
    overwrite: bool = False,
    min_iou: float = MIN_IOU,
    image_key: str = 'file_name',
    device: str | None = None,
    cfg_options: dict | None = None,
    skipped: Skipped | None = None,
    sam: str | os.PathLike | None = None,
) -> DerivedCounts:
    """Write a copy of a COCO file in which every object has a mask inside its box.

    Masks made here are marked with ``mask_source = 'derived'`` and ``mask_method``: ``'threshold'``, ``'ellipse'``
    (see ``derive_threshold_mask``), ``'box'``, ``'model'`` or ``'sam'``. Where a method gives nothing, the next
    simpler one takes its place and is named: model or sam, threshold, ellipse, box. All are polygons, so holes are
    filled, and ``area`` is theirs. Of ignored regions (``iscrowd``), those without a mask get their box. Boxes, other
    fields and, unless ``replace`` is set, masks that have pixels and are not marked as derived stay as they are.

    Args:
        annotations: COCO file with boxes.
        images: Folder that its file names are relative to.
        out: COCO file to write; complete or not there.
        method: One of ``METHODS``.
        model: Config and checkpoint for ``'model'``, see ``MasksInBoxes``.
        replace: Whether masks that are not marked as derived are replaced too.
        overwrite: Whether ``out`` may exist; it may never be ``annotations``.
        min_iou: A model's prediction counts if its box has this IoU with the given one.
        image_key: Field of the images that names the file to load.
        device: Of the model; defaults to the GPU if there is one.
        cfg_options: Settings that replace those of the model's config.
        skipped: Gets the images that cannot be read, or have another size than the file says; their annotations stay
            as they are. Without it the first of them is an error.
        sam: Weights of SAM for ``'sam'``, see ``SamInBoxes``.

    Raises:
        FileNotFoundError: If the annotation file, an image, config or checkpoint is missing.
        ValueError: If ``out`` exists and may not be replaced; for a method without what it needs, an unsound COCO
            file, boxes outside their image, images of another size than the file says, and classes that the model
            does not have. The message names the entries.
    """
    annotations, images, out = Path(annotations), Path(images), Path(out)
    if method not in METHODS:
        raise ValueError(f'method: expected one of {METHODS}, got {method!r}')
    if (method == 'model') != (model is not None):
        raise ValueError(
            f'expected a config and a checkpoint with method "model" and only then, got method '
            f'{method!r} and model {model!r}'
        )
    if (method == 'sam') != (sam is not None):
        raise ValueError(f'expected weights of SAM with method "sam" and only then, got method {method!r} and {sam!r}')
    if not 0 < min_iou <= 1:
        raise ValueError(f'min_iou: expected a number in (0, 1], got {min_iou}')
    coco = read_coco(annotations)
    if out.resolve() == annotations.resolve():
        raise ValueError(f'{out} is the input; expected another file for the output')
    if out.exists() and not overwrite:
        raise ValueError(f'output {out} exists; choose another, or pass --overwrite to replace it')
    classes = {category['id']: category['name'] for category in coco['categories']}
    objects = {image['id']: [] for image in coco['images']}
    for entry in coco['annotations']:
        objects[entry['image_id']].append(entry)
    wanting = _without_mask(coco, replace)
    todo = [image for image in coco['images'] if any(id(a) in wanting for a in objects[image['id']])]
    _check(annotations, images, todo, objects, image_key)

    predictor: MasksInBoxes | SamInBoxes | None = None
    if model is not None:
        predictor = MasksInBoxes(*model, device=device, cfg_options=cfg_options)
        targets = [a for a in coco['annotations'] if id(a) in wanting and not a.get('iscrowd')]
        used = {classes[a['category_id']] for a in targets}
        refuse(
            annotations,
            f'classes that {model[0]} does not have, which has {", ".join(predictor.classes)}',
            sorted(used - set(predictor.classes)),
        )
    if sam is not None:
        predictor = SamInBoxes(sam, device)
    maker = _Maker(method, predictor, min_iou, DerivedCounts())
    for entry in coco['annotations']:
        if id(entry) not in wanting:
            tally = maker.counts.ignored if entry.get('iscrowd') else maker.counts.kept
            tally[classes[entry['category_id']]] += 1
    made = {}
    for image in tqdm(todo, desc=f'masks ({method})', unit='image'):
        everything = objects[image['id']]
        wanted = [a for a in everything if id(a) in wanting]
        names = [classes[a['category_id']] for a in wanted]
        image = {**image, 'img_path': str(images / image[image_key])}
        grey = None
        with reading(skipped, image['img_path']):
            grey = _grey_levels(image)
        if grey is None:
            continue
        masks = maker.masks(image, grey, everything, wanted, names)
        for entry, name, mask in zip(wanted, names, masks, strict=True):
            maker.counts.methods[name, mask.method] += 1
            made[id(entry)] = {
                'segmentation': mask.polygons,
                'area': mask.area,
                'mask_source': 'derived',
                'mask_method': mask.method,
            }
    if skipped is not None:
        skipped.require_some(made)
    coco['annotations'] = [{**entry, **made.get(id(entry), {})} for entry in coco['annotations']]
    if made:
        note = 'some or all derived from boxes, not annotated: see mask_source and mask_method of each annotation'
        add_info(coco, masks=note)
    write_coco(coco, out)
    return maker.counts


def pixels_in_box(box: list[float], image_size: tuple[int, int]) -> np.ndarray:
    """``[H, W]`` bool: pixels whose centres lie in an xywh box, or the one that holds its centre if there are none."""
    height, width = image_size
    x, y, w, h = box
    columns, rows = np.arange(width) + 0.5, np.arange(height) + 0.5
    inside = ((rows >= y) & (rows < y + h))[:, None] & ((columns >= x) & (columns < x + w))
    if not inside.any():
        inside[min(int(y + h / 2), height - 1), min(int(x + w / 2), width - 1)] = True
    return inside


def _without_mask(coco: dict, replace: bool) -> set[int]:
    """Annotations (by ``id()``) that get a mask: those whose mask has no pixels, and targets with a derived one."""
    sizes = {image['id']: (image['width'], image['height']) for image in coco['images']}
    annotations = coco['annotations']
    segmentations = [a.get('segmentation') for a in annotations]
    size = np.array([sizes[a['image_id']] for a in annotations], float).reshape(-1, 2)
    nothing = show_nothing(parse_masks(segmentations, size), segmentations).tolist()
    anew = [not a.get('iscrowd') and (replace or a.get('mask_source') == 'derived') for a in annotations]
    return {id(a) for a, empty, again in zip(annotations, nothing, anew, strict=True) if empty or again}


def _check(path: Path, folder: Path, images: list[dict], objects: dict, image_key: str) -> None:
    """What would otherwise end a long run in its middle."""
    refuse(path, f'images lack the field "{image_key}"; image ids', [i['id'] for i in images if image_key not in i])
    for image in images:
        check_file_name(image[image_key], f'{path}, image id {image["id"]}, "{image_key}"')
    missing = [str(folder / i[image_key]) for i in images if not (folder / i[image_key]).is_file()]
    if missing:
        raise FileNotFoundError(f'{path}: {len(missing)} of {len(images)} images not found, the first: {missing[0]}')
    outside = [
        a['id'] for i in images for a in objects[i['id']] if min(clip_box(a['bbox'], i['width'], i['height'])[2:]) <= 0
    ]
    refuse(path, 'boxes lie outside their images (tools/data/validate.py tells more); annotation ids', outside)


def _grey_levels(image: dict) -> np.ndarray:
    """``[H, W]`` of an image that has the size that the annotation file says."""
    grey = grey_levels(read_infrared(image['img_path'], page=image.get('page')))
    size = image['height'], image['width']
    if grey.shape != size:
        raise ValueError(
            f'{image["img_path"]}: image {image["id"]}: expected height and width {size} as in the annotation file, '
            f'got {grey.shape}'
        )
    return grey


@dataclass
class _Maker:
    """Makes the masks of an image; the arguments are those of ``derive_masks``."""

    method: str
    predictor: MasksInBoxes | SamInBoxes | None
    min_iou: float
    counts: DerivedCounts

    def masks(
        self, image: dict, grey: np.ndarray, everything: list[dict], wanted: list[dict], names: list[str]
    ) -> list[DerivedMask]:
        """Masks of the annotations ``wanted`` of the classes ``names``, in an image that has ``everything``.

        Those of ignored regions are their boxes.
        """
        size = grey.shape
        occupied = occupied_pixels([clip_box(a['bbox'], *size[::-1]) for a in everything], size)
        boxes = [clip_box(a['bbox'], *size[::-1]) for a in wanted]
        predicted: list[DerivedMask | None] = [
            _from_pixels(pixels_in_box(box, size), 'box') if a.get('iscrowd') else None
            for a, box in zip(wanted, boxes, strict=True)
        ]
        targets = [i for i, mask in enumerate(predicted) if mask is None]
        if self.predictor is not None and targets:
            found = self._predict(image, [boxes[i] for i in targets], [names[i] for i in targets])
            for i, mask in zip(targets, found, strict=True):
                predicted[i] = mask
        fits = [LOOSE if class_of(name, FOUR_CLASSES) in LOOSE_BOXES else TIGHT for name in names]
        return [
            mask or self._from_image(grey, box, occupied, fit)
            for mask, box, fit in zip(predicted, boxes, fits, strict=True)
        ]

    def _predict(self, image: dict, boxes: list[list[float]], names: list[str]) -> list[DerivedMask | None]:
        """The model's masks cut to the boxes; None where it has none for a box."""
        start = {key: image[key] for key in ('img_path', 'height', 'width', 'page') if key in image}
        corners = np.array(boxes)
        corners[:, 2:] += corners[:, :2]
        classes = self.predictor.classes  # (SAM has none)
        labels = np.array([classes.index(name) if classes else 0 for name in names])
        masks, ious = self.predictor({**start, 'img_id': image['id']}, corners, labels)
        derived = []
        for mask, iou, box in zip(masks, ious, boxes, strict=True):
            cut = mask & pixels_in_box(box, mask.shape)
            found = iou >= self.min_iou and cut.any()
            if not found:
                unmatched = f'without a prediction of IoU >= {self.min_iou:g}'
                self.counts.fallbacks['with an empty mask' if iou >= self.min_iou else unmatched] += 1
            derived.append(_from_pixels(cut, self.method) if found else None)
        return derived

    def _from_image(self, grey: np.ndarray, box: list[float], occupied: np.ndarray, fit: BoxFit) -> DerivedMask:
        x, y, w, h = box
        corners = box_corners(x + w / 2, y + h / 2, w, h)
        mask = None
        if self.method in ('threshold', 'model', 'sam'):
            mask = derive_threshold_mask(grey, corners, box, occupied, fit)
        elif self.method == 'ellipse':
            mask = derive_ellipse_mask(corners, box, grey.shape)
        return mask or _from_pixels(pixels_in_box(box, grey.shape), 'box')


def _from_pixels(mask: np.ndarray, method: str) -> DerivedMask:
    polygons = outline_polygons(mask)
    return DerivedMask(polygons, polygons_area(polygons, mask.shape), method)
