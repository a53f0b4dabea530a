"""What an inferencer is called with, and what is said about objects that are no image."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...datasets.images.files import find_images
from ...datasets.images.values import ARRAY
from ...fileio import PATH, kind_of_object, require_path


def list_images(given: object) -> list:
    """The images of a call, each as ``check_given`` takes them.

    Args:
        given: An image, a list or tuple of images, or the path of a folder: then the image files below it.

    Raises:
        TypeError: For an object that is no image.
        ValueError: For a folder without image files.
    """
    if isinstance(given, list | tuple):
        return [check_given(single) for single in given]
    if isinstance(given, str | os.PathLike) and os.path.isdir(given):
        images = [str(path) for path in find_images(Path(given))]
        if not images:
            raise ValueError(f'{given}: expected image files, got a folder without any')
        return images
    return [check_given(given)]


def check_given(given: object) -> object:
    """An image as it was given.

    Raises:
        TypeError: If it is neither a path nor an array nor a dictionary with either of them.
    """
    if isinstance(given, dict):
        if not {'img', 'img_path'} & set(given):
            raise TypeError(f'expected a dictionary with img or img_path, got the keys {list(given)}')
        if 'img' not in given:
            require_path(given['img_path'])
    elif not isinstance(given, str | os.PathLike | np.ndarray):
        raise TypeError(
            f'expected {PATH}, {ARRAY} or a dictionary with img or img_path, or a list of these, got '
            f'{kind_of_object(given)}'
        )
    return given


def name_of(given: object) -> str:
    """The path of an image; empty for an array."""
    if isinstance(given, dict):
        given = given.get('img_path') or ''
    return '' if isinstance(given, np.ndarray) else str(given)


def check_prepared(batch: Sequence) -> list[dict]:
    """A batch that ``IRInferencer.predict`` takes.

    Raises:
        TypeError: If it holds anything but what ``IRInferencer.prepare`` returns.
    """
    for single in batch:
        if not isinstance(single, dict) or 'inputs' not in single:
            raise TypeError(f'predict: expected images as prepare returns them, got {kind_of_object(single)}')
    return list(batch)
