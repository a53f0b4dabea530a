"""Images of a config's data set, as an exported model takes them."""

from mmengine.config import Config
from mmengine.dataset import Compose, ConcatDataset
from mmengine.registry import init_default_scope

from ..datasets.wrappers import build_leaves
from .backends import ExportedModel


def open_images(cfg: Config, part: str, exported: ExportedModel) -> tuple[ConcatDataset, dict]:
    """Opens a data set with nothing but its loader; the rest of the pipeline is within the model.

    Args:
        cfg: The config.
        part: ``'train'``, ``'val'`` or ``'test'``.
        exported: The model that will read the images.

    Returns:
        The images of all data sets within wrappers, each image once, and what the first of these sets says of its
        classes. Items have ``img``, ``img_id`` and ``ori_shape``.

    Raises:
        ValueError: If the classes of model and data set are not the same.
    """
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    parts = build_leaves(cfg[f'{part}_dataloader'].dataset)
    for source in parts:
        if tuple(source.metainfo['classes']) != exported.classes:
            raise ValueError(
                f'{cfg.filename}: {part} set: expected the classes {list(exported.classes)} of {exported.path}, got '
                f'{list(source.metainfo["classes"])}'
            )
        source.pipeline = Compose(source.pipeline.transforms[:1])
    return ConcatDataset(parts, ignore_keys=[*parts[0].metainfo]), parts[0].metainfo
