"""Images of a config's data set, as an exported model takes them."""

from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.dataset import BaseDataset, Compose
from mmengine.registry import init_default_scope

from .backends import ExportedModel


def open_images(cfg: Config, part: str, exported: ExportedModel) -> tuple[BaseDataset, BaseDataset]:
    """Opens a data set with nothing but its loader; the rest of the pipeline is within the model.

    Args:
        cfg: The config.
        part: ``'train'``, ``'val'`` or ``'test'``.
        exported: The model that will read the images.

    Returns:
        The data set as configured, wrappers included, and the innermost one. Items have ``img``, ``img_id`` and
        ``ori_shape``.

    Raises:
        ValueError: If the classes of model and data set are not the same.
    """
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    dataset = DATASETS.build(cfg[f'{part}_dataloader'].dataset)
    source = dataset
    while hasattr(source, 'dataset'):
        source = source.dataset
    if tuple(source.metainfo['classes']) != exported.classes:
        raise ValueError(
            f'{cfg.filename}: {part} set: expected the classes {list(exported.classes)} of {exported.path}, got '
            f'{list(source.metainfo["classes"])}'
        )
    source.pipeline = Compose(source.pipeline.transforms[:1])
    return dataset, source
