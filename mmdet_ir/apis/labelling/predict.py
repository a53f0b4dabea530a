"""What a model finds in a folder of images, for :func:`write_prelabels`."""

import os
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from ...cli import Skipped, reading
from ...datasets.images.files import find_images
from ...visualization.overlay import FoundInstance, find_instances
from ..inference.inferencer import IRInferencer
from ..inference.thresholds import score_thresholds


def predict_folder(
    config: str | os.PathLike,
    checkpoint: str | os.PathLike,
    images: str | os.PathLike,
    scores: Sequence[str] = ('0.3',),
    device: str | None = None,
    cfg_options: dict | None = None,
    skipped: Skipped | None = None,
) -> tuple[dict[str, tuple[tuple[int, int], list[FoundInstance]]], tuple[str, ...]]:
    """Runs a model on all images below a folder.

    Args:
        config: Config file.
        checkpoint: Its weights.
        images: The folder.
        scores: Lowest scores, see ``score_thresholds``.
        device: Defaults to the GPU if there is one.
        cfg_options: Settings that replace the config's.
        skipped: Gets the images that cannot be read; without it the first of them is an error.

    Returns:
        Width, height and instances of each image, by its name relative to the folder; and the classes.

    Raises:
        FileNotFoundError: If there is no such folder, config or checkpoint.
        ValueError: If there are no images, or one cannot be read.
    """
    folder = Path(images)
    if not folder.is_dir():
        raise FileNotFoundError(f'{folder}: expected a folder of images, found none')
    files = find_images(folder)
    if not files:
        raise ValueError(f'{folder}: expected images, found none')
    inferencer = IRInferencer(config, checkpoint, device, show_progress=False, cfg_options=cfg_options)
    thresholds = score_thresholds(scores, inferencer.classes)
    found = {}
    for path in tqdm(files, desc='prelabels', unit='image'):
        data = None
        with reading(skipped, path):
            image = inferencer.read(path)
            data = inferencer.prepare(image, path)
        if data is None:
            continue
        (prediction,) = inferencer.predict([data])
        name = path.relative_to(folder).as_posix()
        found[name] = (image.shape[1::-1], find_instances(prediction, thresholds))
    if skipped is not None:
        skipped.require_some(found)
    return found, inferencer.classes
