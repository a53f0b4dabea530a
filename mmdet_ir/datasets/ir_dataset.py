"""COCO-style infrared data set that checks its files before anything runs."""

import contextlib
import io
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.datasets import CocoDataset
from mmdet.datasets.api_wrappers import COCO
from mmdet.datasets.transforms import LoadAnnotations
from mmdet.registry import DATASETS
from mmengine.logging import MMLogger

from .coco_files import CLASSES, read_coco, refuse


@DATASETS.register_module()
class IRDataset(CocoDataset):
    """COCO-style infrared data set with the four classes of the paper, in the paper's order.

    What MMDetection would leave out or mix up in silence is an error that names file and entry: class names that
    differ from ``METAINFO`` or come in another order, boxes and masks without area, RLE masks where polygons are
    needed, image files that do not exist.

    The arguments are those of ``CocoDataset``, and one more. For other classes pass ``metainfo=dict(classes=(...))``.

    Args:
        image_key: The field of the annotation file's images that names the file to load, such as the counts that
            belong to an 8-bit picture. A field ``page`` beside it tells the image of a stack, from 0.
    """

    METAINFO = {
        'classes': CLASSES,
        'palette': [(230, 60, 70), (60, 160, 250), (90, 210, 110), (250, 190, 50)],
    }

    def __init__(self, *args, image_key: str = 'file_name', **kwargs) -> None:
        self.image_key = image_key
        super().__init__(*args, **kwargs)

    def COCOAPI(self, path: str) -> COCO:  # (CocoDataset's name for what reads its annotation file)
        """Read and check annotation file and image folder; ``CocoDataset.load_data_list`` calls it.

        Raises:
            FileNotFoundError: If the annotation file or an image is missing.
            ValueError: If the annotation file is unsound, or does not fit the classes or the pipeline.
        """
        dataset = read_coco(path)
        lacking = [image['id'] for image in dataset['images'] if not isinstance(image.get(self.image_key), str)]
        refuse(self.ann_file, f'images have no {self.image_key!r} (image_key of the data set); ids', lacking)
        for image in dataset['images']:
            image['file_name'] = image[self.image_key]
        self._check_categories(dataset)
        self._check_annotations(dataset)
        self._check_images(dataset)
        coco = COCO()
        coco.dataset = dataset
        with contextlib.redirect_stdout(io.StringIO()):
            coco.createIndex()
        coco.img_ann_map, coco.cat_img_map = coco.imgToAnns, coco.catToImgs
        return coco

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """As ``CocoDataset`` does, with the ``page`` of a stack if there is one."""
        info = super().parse_data_info(raw_data_info)
        image = raw_data_info['raw_img_info']
        return info | {'page': image['page']} if 'page' in image else info

    def filter_data(self) -> list[dict]:
        """Filter as ``CocoDataset`` does.

        Raises:
            ValueError: If no image is left.
        """
        left = super().filter_data()
        if not left:
            raise ValueError(
                f'{self.ann_file}: none of its {len(self.data_list)} images is left after filter_cfg={self.filter_cfg}'
            )
        return left

    def _check_categories(self, coco: dict) -> None:
        classes = self.metainfo['classes']
        ids = {category['name']: category['id'] for category in coco['categories']}
        missing = [name for name in classes if name not in ids]
        if missing:
            raise ValueError(
                f'{self.ann_file}: categories do not match the classes: expected {list(classes)}, got {list(ids)}; '
                f'missing: {missing}. Rename them in the file, or pass metainfo=dict(classes=(...)) to the data set'
            )
        order = [name for name in ids if name in classes]
        if order != list(classes):
            raise ValueError(
                f'{self.ann_file}: expected "categories" in the order of the labels, {list(classes)}, got {order}; '
                f'reorder the entries of "categories" (their ids may stay)'
            )
        counts = Counter(annotation['category_id'] for annotation in coco['annotations'])
        left_out = {name: counts[i] for name, i in ids.items() if name not in classes and counts[i]}
        if left_out:
            _warn(f'{self.ann_file}: instances of other classes are left out: {left_out}')

    def _check_annotations(self, coco: dict) -> None:
        annotations = coco['annotations']
        lacking = [a['id'] for a in annotations if 'area' not in a or 'iscrowd' not in a]
        refuse(self.ann_file, 'annotations lack "area" or "iscrowd", which evaluation needs; ids', lacking)
        empty = [a['id'] for a in annotations if a['area'] <= 0]
        refuse(self.ann_file, 'annotations have an "area" of 0 or less; ids', empty)

        sizes = {image['id']: (image['width'], image['height']) for image in coco['images']}
        boxes = np.array([a['bbox'] for a in annotations], float).reshape(-1, 4)
        limits = np.array([sizes[a['image_id']] for a in annotations], float).reshape(-1, 2)
        seen = np.minimum(boxes[:, :2] + boxes[:, 2:], limits) - np.maximum(boxes[:, :2], 0)
        unusable = ((seen <= 0) | (boxes[:, 2:] < 1)).any(axis=1)
        if unusable.any():
            ids = [annotations[i]['id'] for i in np.flatnonzero(unusable)]
            _warn(f'{self.ann_file}: {len(ids)} boxes outside their image or under 1 pixel are left out; '
                  f'annotation ids {ids[:5]}{" ..." if len(ids) > 5 else ""}')  # fmt: skip

        loaders = [t for t in _flatten(self.pipeline.transforms) if isinstance(t, LoadAnnotations) and t.with_mask]
        if loaders:
            self._check_masks([a for a in annotations if not a['iscrowd']], all(t.poly2mask for t in loaders))

    def _check_masks(self, annotations: list[dict], rle_allowed: bool) -> None:
        without = [a['id'] for a in annotations if not a.get('segmentation')]
        refuse(self.ann_file, 'annotations have no "segmentation", but the pipeline loads masks; ids', without)
        rle = [a for a in annotations if isinstance(a['segmentation'], dict)]
        if not rle_allowed:
            refuse(
                self.ann_file,
                'annotations have RLE masks, but the pipeline needs polygons (LoadAnnotations with poly2mask=False); '
                'convert the masks to polygons or set poly2mask=True where the model allows it; ids',
                [a['id'] for a in rle],
            )
        broken = [a['id'] for a in rle if not (a['segmentation'].get('counts') and a['segmentation'].get('size'))]
        refuse(self.ann_file, 'annotations have an RLE mask without "counts" or "size"; ids', broken)
        short = [
            a['id']
            for a in annotations
            if isinstance(a['segmentation'], list)
            and any(not isinstance(p, list) or len(p) < 6 or len(p) % 2 for p in a['segmentation'])
        ]
        refuse(self.ann_file, 'annotations have a polygon that is not a list of 3 or more x, y pairs; ids', short)

    def _check_images(self, coco: dict) -> None:
        """Compare the file names with listings of the local folders; the contents are read by the pipeline."""
        if self.backend_args is not None:
            return
        folder = Path(self.data_prefix['img'])
        paths = [folder / image['file_name'] for image in coco['images']]
        listings = {parent: _list_folder(parent) for parent in {path.parent for path in paths}}
        missing = [path for path in paths if path.name not in listings[path.parent]]
        if missing:
            raise FileNotFoundError(
                f'{self.ann_file}: {len(missing)} of {len(paths)} images not found, the first of them '
                f'{", ".join(map(str, missing[:3]))}; images are looked for in {folder} (data_root and data_prefix)'
            )


def _list_folder(folder: Path) -> set[str]:
    return set(os.listdir(folder)) if folder.is_dir() else set()


def _flatten(transforms: list) -> Iterator[BaseTransform]:
    """Transforms of a pipeline and of the wrappers in it (``RandomApply``, ``RandomChoice``, ...)."""
    for transform in transforms:
        if isinstance(transform, list | tuple):
            yield from _flatten(transform)
        else:
            yield transform
            inner = getattr(transform, 'transforms', None)
            if inner is not None:
                yield from _flatten(getattr(inner, 'transforms', inner))


def _warn(message: str) -> None:
    MMLogger.get_current_instance().warning(message)
