"""Masks as files that labelling tools open: LabelMe, YOLO-seg, COCO and CVAT, to be corrected instead of drawn."""

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from ...fileio import write_text
from ...visualization.overlay import FoundInstance

FORMATS = ('labelme', 'yolo', 'coco', 'cvat')
_TOLERANCE = 0.5  # pixels by which a polygon may leave the outline of the mask
_SMALLEST = 3  # corners

Found = Mapping[str, tuple[tuple[int, int], Sequence[FoundInstance]]]  # image -> (width, height), instances


def write_prelabels(
    out: str | os.PathLike,
    found: Found,
    classes: Sequence[str],
    file_format: str,
    images: str = 'images',
    overwrite: bool = False,
) -> list[Path]:
    """Writes masks in the form of a labelling tool.

    Args:
        out: Folder. LabelMe's files lie beside the images that they name, so there it is the folder of the images.
        found: For each image, named relative to the folder of the images, its width and height and its instances.
        classes: Names, by label.
        file_format: One of ``FORMATS``.
        images: Folder of the images, for YOLO, which looks for labels by the place of the images: under ``labels/`` in
            the place of their folder ``images/``, or beside them if they have none. If it is not ``out``, the images
            belong into ``images/`` of ``out``.
        overwrite: Whether to replace labels that are there, which a person may have corrected.

    Returns:
        The files.

    Raises:
        FileExistsError: If a file is there and ``overwrite`` is not set; nothing is written then.
        ValueError: If the labels of two images would be one file, or for another format.

    Example:
        >>> from mmdet_ir.apis.labelling import write_prelabels
        >>> nothing = {'a.png': ((88, 60), [])}  # width and height; no instances
        >>> [path.name for path in write_prelabels('prelabels', nothing, ('human',), 'coco')]
        ['instances_default.json']
    """
    out = Path(out)
    refuse_replacing(out, list(found), file_format, overwrite, images)
    if file_format == 'labelme':
        return [_labelme(out, name, size, instances, classes) for name, (size, instances) in found.items()]
    if file_format == 'yolo':
        return _yolo(out, found, classes, images)
    (path,) = _files(out, list(found), file_format, images)
    write_text(path, json.dumps(_coco(found, classes)))
    return [path]


def refuse_replacing(
    out: str | os.PathLike, images: Sequence[str], file_format: str, overwrite: bool = False, folder: str = 'images'
) -> None:
    """Looks for labels that are there already, which may hold a person's work, and for images that would share some.

    Args:
        out: Folder of the labels.
        images: Names of the images, relative to their folder.
        file_format: One of ``FORMATS``.
        overwrite: Whether labels that are there may be replaced.
        folder: Folder of the images, see :func:`write_prelabels`.

    Raises:
        FileExistsError: If there is one; the message names it.
        ValueError: If the labels of two images would be one file, or for another format.
    """
    files = _files(Path(out), images, file_format, folder)
    if len(files) > len(set(files)):
        path, _ = Counter(files).most_common(1)[0]
        shared = [name for name, file in zip(images, files, strict=False) if file == path]
        raise ValueError(f'{path}: would hold the labels of {" and of ".join(shared)}; rename one of the images')
    there = [path for path in files if path.exists() and not overwrite]
    if there:
        raise FileExistsError(
            f'{there[0]}: labels are there already ({len(there)} files), which may have been corrected; choose '
            f'another --out, or pass --overwrite to replace them'
        )


def _files(out: Path, images: Sequence[str], file_format: str, folder: str) -> list[Path]:
    if file_format == 'labelme':
        return [(out / name).with_suffix('.json') for name in images]
    if file_format == 'yolo':
        return [*(_yolo_label(out, name, folder) for name in images), _yolo_root(out, folder)[0] / 'data.yaml']
    if file_format in FORMATS:
        return [out / ('instances_default.json' if file_format == 'coco' else 'annotations/instances_default.json')]
    raise ValueError(f'--format: expected one of {", ".join(FORMATS)}, got {file_format!r}')


def _yolo_root(out: Path, folder: str) -> tuple[Path, str]:
    """Where ``data.yaml`` belongs, and what it says of the folder of the images."""
    if out.resolve() != Path(folder).resolve():
        return out, 'images'
    parts = out.absolute().parts
    place = _last_images(parts)
    return (out, '.') if place is None else (Path(*parts[:place]), '/'.join(parts[place:]))


def _yolo_label(out: Path, name: str, folder: str) -> Path:
    image = (out if out.resolve() == Path(folder).resolve() else out / 'images') / name
    parts = list(image.absolute().parts)
    place = _last_images(parts[:-1])
    if place is not None:
        parts[place] = 'labels'
    return (image if place is None else Path(*parts)).with_suffix('.txt')


def _last_images(parts: Sequence[str]) -> int | None:
    return max((i for i, part in enumerate(parts) if part == 'images'), default=None)


def polygons(instance: FoundInstance) -> list[np.ndarray]:
    """Outlines of a mask in pixels of the image, ``[K, 2]`` x and y each: a polygon for each part, holes filled.

    The corners lie on the outer edges of the pixels, so that a rasterised polygon covers the mask.
    """
    padded = np.pad(instance.crop.astype(np.uint8), 1)
    enlarged = np.kron(padded, np.ones((2, 2), np.uint8))  # so that the outline runs along the edges of the pixels
    contours, _ = cv2.findContours(enlarged, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    found = []
    for contour in contours:
        # Half pixels: the outer half of a border pixel is at 2k or 2k + 1, its edge at k or k + 1.
        points = contour[:, 0].astype(float)
        edges = np.where(points % 2 == 0, points / 2, (points + 1) / 2) - 1 + np.array(instance.corner)
        simple = cv2.approxPolyDP(edges.astype(np.float32)[:, None], _TOLERANCE, True)[:, 0]
        if len(simple) >= _SMALLEST:
            found.append(simple.astype(float))
    return found


def _labelme(
    out: Path, name: str, size: tuple[int, int], instances: Sequence[FoundInstance], classes: Sequence[str]
) -> Path:
    shapes = []
    for number, instance in enumerate(instances, start=1):
        parts = polygons(instance)
        for part in parts:
            shapes.append(
                {
                    'label': classes[instance.label],
                    'points': part.round(2).tolist(),
                    'group_id': number if len(parts) > 1 else None,
                    'shape_type': 'polygon',
                    'flags': {},
                    'description': f'score {instance.score:.3f}',
                }
            )
    content = {
        'version': '5.5.0',
        'flags': {},
        'shapes': shapes,
        'imagePath': Path(name).name,
        'imageData': None,
        'imageWidth': size[0],
        'imageHeight': size[1],
    }
    path = (out / name).with_suffix('.json')
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False))
    return path


def _yolo(out: Path, found: Found, classes: Sequence[str], images: str) -> list[Path]:
    """One line for each part of a mask: the format knows no groups."""
    paths = []
    for name, (size, instances) in found.items():
        lines = []
        for instance in instances:
            for part in polygons(instance):
                values = (part / np.array(size)).clip(0, 1).ravel()
                lines.append(' '.join([str(instance.label), *(f'{value:.6f}' for value in values)]))
        paths.append(_yolo_label(out, name, images))
        write_text(paths[-1], ''.join(f'{line}\n' for line in lines))
    names = '\n'.join(f'  {i}: {json.dumps(name, ensure_ascii=False)}' for i, name in enumerate(classes))
    root, train = _yolo_root(out, images)
    paths.append(root / 'data.yaml')
    write_text(paths[-1], f'train: {train}\nnames:\n{names}\n')
    return paths


def _coco(found: Found, classes: Sequence[str]) -> dict:
    images, annotations = [], []
    for number, (name, (size, instances)) in enumerate(found.items(), start=1):
        images.append({'id': number, 'file_name': name, 'width': size[0], 'height': size[1]})
        for instance in instances:
            parts = polygons(instance)
            if not parts:
                continue
            corners = np.concatenate(parts)
            low, high = corners.min(axis=0), corners.max(axis=0)
            annotations.append(
                {
                    'id': len(annotations) + 1,
                    'image_id': number,
                    'category_id': instance.label + 1,
                    'segmentation': [part.round(2).ravel().tolist() for part in parts],
                    'bbox': [round(float(value), 2) for value in (*low, *(high - low))],
                    'area': instance.area,
                    'iscrowd': 0,
                    'attributes': {'score': round(instance.score, 3)},
                }
            )
    categories = [{'id': i, 'name': name, 'supercategory': ''} for i, name in enumerate(classes, start=1)]
    return {'info': {}, 'licenses': [], 'categories': categories, 'images': images, 'annotations': annotations}
