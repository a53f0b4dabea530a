"""COCO-style infrared data set that checks its files before anything runs."""

import contextlib
import io
import shlex
from collections.abc import Iterator, Mapping

from mmcv.image import rescale_size
from mmcv.transforms import BaseTransform
from mmdet.datasets import CocoDataset
from mmdet.datasets.api_wrappers import COCO
from mmdet.datasets.transforms import LoadAnnotations
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.logging import MMLogger

from ..fileio import collector_paused, read_json
from ..palette import palette_for
from .coco_files import CLASSES, lacks_targets, remember_checked
from .validation.annotations import Needs, check_for_training
from .validation.problem import raise_errors

_META_KEYS = ('classes', 'palette')
_LEFT_OUT = ('class-left-out', 'box-left-out', 'ignore-key')  # said, not refused


@DATASETS.register_module()
class IRDataset(CocoDataset):
    """COCO-style infrared data set with the four classes of the paper, in the paper's order.

    What MMDetection would leave out or mix up in silence is an error that names file and entry: class names that
    differ from ``METAINFO`` or come in another order, boxes and masks without area, RLE masks where polygons are
    needed, image files that do not exist. In test mode a file without ``annotations`` is a set without targets.

    The arguments are those of ``CocoDataset``, and one more. For other classes pass ``metainfo=dict(classes=(...))``;
    those that ``palette`` does not reach get colours that differ from it and from each other.

    Args:
        image_key: The field of the annotation file's images that names the file to load, such as the counts that
            belong to an 8-bit picture. A field ``page`` beside it tells the image of a stack, from 0.

    Example:
        >>> from mmdet_ir.datasets import IRDataset
        >>> data_set = IRDataset(ann_file='val.json', data_prefix={'img': 'images/'}, pipeline=[], test_mode=True)
        >>> len(data_set), data_set.metainfo['classes']
        (3, ('human', 'car', 'bicycle', 'uav'))
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
        dataset = read_json(path)
        unlabelled = self.test_mode and lacks_targets(dataset)
        if unlabelled:
            dataset['annotations'] = []
        loaders = [t for t in _flatten(self.pipeline.transforms) if isinstance(t, LoadAnnotations) and t.with_mask]
        needs = Needs(
            classes=self.metainfo['classes'],
            masks=bool(loaders),
            rle_allowed=all(t.poly2mask for t in loaders),
            image_key=self.image_key,
            folder=self.data_prefix['img'] if self.backend_args is None else None,  # local files only
        )
        problems = check_for_training(dataset, needs)
        for problem in problems:
            if problem.code in _LEFT_OUT:
                MMLogger.get_current_instance().warning(f'{self.ann_file}: {problem.text}')
        raise_errors(self.ann_file, problems, self._command(needs))
        if needs.masks and not unlabelled:
            remember_checked(path)
        for image in dataset['images']:
            image['file_name'] = image[self.image_key]
        coco = COCO()
        coco.dataset = dataset
        with contextlib.redirect_stdout(io.StringIO()):
            coco.createIndex()
        coco.img_ann_map, coco.cat_img_map = coco.imgToAnns, coco.catToImgs
        return coco

    def full_init(self) -> None:
        """Read and check the annotations, and keep them as one array that loader workers share.

        Raises:
            ValueError: If the annotation file is unsound, or nested too deeply to be kept so.
        """
        try:
            with collector_paused():
                super().full_init()
        except RecursionError as error:
            raise ValueError(f'{self.ann_file}: expected a COCO file, got one that is nested too deeply') from error

    def load_data_list(self) -> list[dict]:
        """Read the annotations as ``CocoDataset`` does.

        Raises:
            ValueError: If an image is so long and thin that ``Resize`` would leave nothing of its short side.
        """
        infos = super().load_data_list()
        for scale in _scales(self.pipeline.transforms):
            lost = [info for info in infos if 0 in rescale_size((info['width'], info['height']), scale)]
            if lost:
                first = lost[0]
                raise ValueError(
                    f'{self.ann_file}: image id {first["img_id"]} ({first["img_path"]}): Resize to {tuple(scale)} '
                    f'with keep_ratio leaves a side of 0 of its {first["width"]}x{first["height"]} pixels '
                    f'({len(lost)} such images); cut them into parts, or leave them out'
                )
        return infos

    @classmethod
    def _load_metainfo(cls, metainfo: Mapping | Config | None = None) -> dict:
        """As mmengine does when it makes a data set, with a colour for every class.

        Raises:
            ValueError: If ``classes`` is no list of different names, or stands under another key.
        """
        wrong = [key for key in metainfo or () if key not in _META_KEYS and key.lower() in _META_KEYS]
        if wrong:
            raise ValueError(f'metainfo: expected the keys {_META_KEYS} in lower case, got {wrong}')
        meta = super()._load_metainfo(metainfo)
        classes = meta['classes']
        if isinstance(classes, str):  # (mmengine reads the names from a file if there is one of this name)
            raise ValueError(text_instead_of_classes('metainfo', classes))
        if not len(classes) or len(set(classes)) < len(classes):
            raise ValueError(f'metainfo: classes: expected one name or more, each of them once, got {list(classes)}')
        meta['palette'] = palette_for(len(classes), meta.get('palette'))
        return meta

    def load_proposals(self) -> None:
        """Refuses ``proposal_file``.

        Raises:
            ValueError: Always: MMDetection unpickles the file, and a pickle can run code.
        """
        raise ValueError(f'proposal_file {self.proposal_file}: refused, because reading a pickle can run code in it')

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

    def _command(self, needs: Needs) -> str:
        """The command line that tells everything about the data set."""
        words = ['python', 'tools/data/validate.py', self.ann_file]
        words += [] if needs.folder is None else ['--images', str(needs.folder)]
        words += [] if self.image_key == 'file_name' else ['--image-key', self.image_key]
        words += [] if tuple(needs.classes) == CLASSES else ['--classes', *needs.classes]
        return shlex.join(words)


def text_instead_of_classes(place: str, classes: str) -> str:
    """Message about ``classes=('ship')``, which Python reads as a text."""
    return (
        f'{place}: classes: expected a tuple of names, got the text {classes!r}; a single class needs a comma: '
        f'classes=({classes!r},)'
    )


def _scales(transforms: list) -> list[tuple[int, int]]:
    """Sizes that the first resizing of a pipeline fits images into, its smallest ones where it draws them."""
    for transform in _flatten(transforms):
        resize = getattr(transform, 'resize', transform)  # (random ones hold one of a fixed size)
        if not getattr(resize, 'keep_ratio', getattr(resize, 'resize_cfg', {}).get('keep_ratio', False)):
            continue
        scale = getattr(transform, 'scale', None) or getattr(transform, 'scales', None)
        if isinstance(scale, tuple) and len(scale) == 2 and all(isinstance(side, int) for side in scale):
            low = (getattr(transform, 'ratio_range', None) or (1.0,))[0]
            return [tuple(max(1, int(side * low)) for side in scale)]
        return [tuple(s) for s in scale or () if isinstance(s, tuple | list) and len(s) == 2]
    return []


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
