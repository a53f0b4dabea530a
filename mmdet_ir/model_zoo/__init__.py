"""Trained models that come with the package, each under a name that stands for its config and its weights.

A model is a folder of this package: ``config.py`` (with all bases merged), ``weights.pth`` (half precision),
``int8.onnx``, ``README.md`` (its card) and ``metafile.yml``, which holds the checksums of both.
``tools/deploy/publish.py`` writes them.
"""

import hashlib
import os
from pathlib import Path

import yaml

ROOT = Path(__file__).parent
CONFIG, WEIGHTS, INT8, CARD, METAFILE = 'config.py', 'weights.pth', 'int8.onnx', 'README.md', 'metafile.yml'


def model_names() -> list[str]:
    """Names of all models that come with the package.

    Example:
        >>> from mmdet_ir.model_zoo import model_names
        >>> model_names()
        ['edge']
    """
    return sorted(path.parent.name for path in ROOT.glob(f'*/{METAFILE}'))


def config_file(config: str | os.PathLike) -> str:
    """The config of a model, if ``config`` is the name of one and not of a file; else ``config`` as it is.

    Example:
        >>> from mmdet_ir.model_zoo import config_file
        >>> config_file('configs/ir/mask_rcnn.py')
        'configs/ir/mask_rcnn.py'
    """
    return str(_file(str(config), CONFIG) or config)


def own_config(name: str) -> str:
    """A config of ours, ``configs/...``: as it is where the folder has it, and with its path anywhere else.

    Example:
        >>> from mmdet_ir.model_zoo import own_config
        >>> Path(own_config('configs/ir/mask_rcnn.py')).is_file()
        True
    """
    places = (Path(), ROOT.parents[1], ROOT.parent / '.mim')  # here, of a clone, of an installed package
    return next((str(place / name) for place in places if (place / name).is_file()), name)


def checkpoint_file(checkpoint: str | os.PathLike) -> str:
    """The weights of a model, if ``checkpoint`` is the name of one and not of a file; else ``checkpoint`` as it is.

    Raises:
        FileNotFoundError: If the weights of the model are missing.
        ValueError: If they are not the ones that were published.
    """
    return str(_file(str(checkpoint), WEIGHTS) or checkpoint)


def exported_file(model: str | os.PathLike) -> str:
    """The exported file (INT8, ONNX) of a model, if ``model`` is the name of one and not of a file; else ``model``.

    Raises:
        FileNotFoundError: If the file of the model is missing.
        ValueError: If it is not the one that was published.
    """
    return str(_file(str(model), INT8) or model)


def checksum(path: str | os.PathLike) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _file(name: str, kind: str) -> Path | None:
    """A file of the model called ``name``, checked; ``None`` if that is no model's name, or there is such a file."""
    if name not in model_names() or os.path.isfile(name):
        return None
    path = ROOT / name / kind
    if not path.is_file():
        raise FileNotFoundError(f'model {name!r}: its file {path} is missing; install the package anew')
    if kind == CONFIG:
        return path
    metafile = yaml.safe_load((ROOT / name / METAFILE).read_text(encoding='utf-8'))
    expected, found = metafile['Models'][0]['SHA-256'].get(kind), checksum(path)
    if found != expected:
        raise ValueError(
            f'{path}: the file is damaged or was replaced: expected the SHA-256 {expected} of the model {name!r}, got '
            f'{found}; install the package anew'
        )
    return path
