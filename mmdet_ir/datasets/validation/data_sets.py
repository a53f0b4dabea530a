"""The data sets that a command line names: COCO files, or the loaders of a config."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

from mmdet.registry import DATASETS
from mmengine.config import Config

from ...cli.choices import SPLITS
from ...config.types import type_name, typed_dicts
from ..wrappers import leaves
from .annotations import Needs
from .problem import Problem


@dataclass
class DataSet:
    """A COCO file with what is expected of it.

    Attributes:
        path: The file.
        needs: What the data set has to offer.
        splits: The loaders of the config that read it; empty for a file that was named by itself.
        problems: What the config already tells.
    """

    path: Path
    needs: Needs
    splits: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def name(self) -> str:
        return f'{self.path} ({", ".join(self.splits)})' if self.splits else str(self.path)


def from_file(
    path: str | PathLike, classes: Sequence[str], images: str | PathLike | None = None, image_key: str = 'file_name'
) -> DataSet:
    """A COCO file and its images: those of ``images``, else of a folder ``images/`` beside the file's folder, as this
    project lays them, or beside the file, else of the folder of the file."""
    path = Path(path)
    usual = [folder for folder in (path.parent.parent / 'images', path.parent / 'images') if folder.is_dir()]
    folder = Path(images) if images is not None else [*usual, path.parent][0]
    return DataSet(path, Needs(tuple(classes), None, True, image_key, folder))


def from_config(cfg: Config) -> list[DataSet]:
    """The data sets of a config's loaders, each once.

    Raises:
        ValueError: If the config has no data set with an annotation file.
    """
    found: dict[tuple, DataSet] = {}
    for split in SPLITS:
        loader = cfg.get(f'{split}_dataloader') or {}
        for dataset in (leaf for leaf in leaves(loader.get('dataset') or {}) if 'ann_file' in leaf):
            new = _from_dict(dataset)
            evaluator = cfg.get(f'{split}_evaluator')
            new.problems += _check_evaluator(new.path, split, evaluator)
            key = (new.path, new.needs.folder, new.needs.image_key)
            known = found.setdefault(key, new)
            known.splits += (split,)
            known.problems += tuple(p for p in new.problems if p not in known.problems)
            if known is not new:  # the stricter needs of the two
                known.needs = replace(
                    known.needs,
                    masks=known.needs.masks or new.needs.masks,
                    rle_allowed=known.needs.rle_allowed and new.needs.rle_allowed,
                )
    if not found:
        raise ValueError(f'{cfg.filename}: expected a data set with ann_file in one of its loaders, got none')
    return list(found.values())


def _from_dict(dataset: dict) -> DataSet:
    root = Path(dataset.get('data_root') or '')
    prefix = (dataset.get('data_prefix') or {}).get('img', '')
    classes = (dataset.get('metainfo') or {}).get('classes')
    if classes is None:
        kind = DATASETS.get(dataset['type']) if isinstance(dataset['type'], str) else dataset['type']
        classes = getattr(kind, 'METAINFO', {}).get('classes')
    transforms = list(typed_dicts(dataset.get('pipeline') or ()))
    loads = [t for t in transforms if type_name(t).endswith('LoadAnnotations')]
    settings = [{key: t[key] for key in ('rjpeg', 'rjpeg_settings') if key in t} for t in transforms]
    with_mask = [t for t in loads if t.get('with_mask')]
    needs = Needs(
        None if classes is None else tuple(classes),
        bool(with_mask),
        all(t.get('poly2mask', True) for t in with_mask),
        dataset.get('image_key', 'file_name'),
        None if dataset.get('backend_args') else root / prefix,
        next(filter(None, settings), None),
    )
    return DataSet(root / dataset['ann_file'], needs)


def _check_evaluator(path: Path, split: str, evaluator: dict | list | None) -> tuple[Problem, ...]:
    """An evaluator that reads another annotation file than the loader scores against the wrong targets."""
    files = [
        e['ann_file'] for e in ([evaluator] if isinstance(evaluator, dict) else evaluator or ()) if 'ann_file' in e
    ]
    other = [file for file in files if file is not None and Path(file).resolve() != path.resolve()]
    if not other:
        return ()
    text = f'{split}_evaluator reads {other[0]}, {split}_dataloader reads {path}'
    remedy = f'set {split}_evaluator = dict(ann_file=...) to the file of the loader'
    return (Problem('evaluator-file', 'error', text, remedy, tuple(other), 'file'),)
