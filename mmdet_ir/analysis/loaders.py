"""What common image readers leave of the counts of a thermal image."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from mmdet_ir.datasets.images.infrared_io import read_infrared
from mmdet_ir.datasets.images.values import to_single_channel
from mmdet_ir.datasets.transforms.tone_mapping import tone_map
from mmdet_ir.markdown import markdown_table
from mmdet_ir.visualization.figure_file import save_figure

import cv2
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

FILE = 'in the file'
HEADER = ('reader', 'type', 'lowest value', 'highest value', 'different values')


@dataclass(frozen=True)
class Reading:
    """What a reader made of an image.

    Attributes:
        reader: The call, as one would write it.
        image: The brightest channel of what the reader returned, ``[H, W]``; ``None`` if it returned nothing.
        reason: Why there is no image.
    """

    reader: str
    image: np.ndarray | None
    reason: str = ''

    @property
    def levels(self) -> int:
        """Number of different values in the image."""
        return 0 if self.image is None else len(np.unique(self.image))


def _torchvision(path: str) -> np.ndarray:
    from torchvision.io import ImageReadMode, decode_image

    return decode_image(path, ImageReadMode.RGB).permute(1, 2, 0).numpy()


def _mmcv(path: str) -> np.ndarray:
    import mmcv

    return mmcv.imread(path)


def _matplotlib(path: str) -> np.ndarray:
    from matplotlib import image

    return image.imread(path)


def _skimage(path: str) -> np.ndarray:
    from skimage import io

    return io.imread(path)


# The call, the package behind it, the function.
READERS: tuple[tuple[str, str, Callable[[str], np.ndarray]], ...] = (
    ('cv2.imread(path)', 'cv2', cv2.imread),
    ('cv2.imread(path, IMREAD_GRAYSCALE)', 'cv2', lambda path: cv2.imread(path, cv2.IMREAD_GRAYSCALE)),
    ("PIL.Image.open(path).convert('RGB')", 'PIL', lambda path: np.asarray(Image.open(path).convert('RGB'))),
    ("PIL.Image.open(path).convert('L')", 'PIL', lambda path: np.asarray(Image.open(path).convert('L'))),
    ('torchvision.io.decode_image(path, RGB)', 'torchvision', _torchvision),
    ("mmcv.imread(path) (MMDetection's loader)", 'mmcv', _mmcv),
    ('matplotlib.image.imread(path)', 'matplotlib', _matplotlib),
    ('skimage.io.imread(path)', 'skimage', _skimage),
    ('cv2.imread(path, IMREAD_UNCHANGED)', 'cv2', lambda path: cv2.imread(path, cv2.IMREAD_UNCHANGED)),
)


def compare_loaders(path: str | os.PathLike, tone_mapping: Mapping | None = None) -> list[Reading]:
    """Reads an image with every reader that is installed.

    Args:
        path: PNG or TIFF with counts in one channel.
        tone_mapping: Settings of ``tone_map`` for the last entry; default: ``percentile``.

    Returns:
        The counts of the file, each reader's image, and the image after our tone mapping.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If the file is no image of one channel.
    """
    settings = dict(tone_mapping or {'method': 'percentile'})
    counts = to_single_channel(read_infrared(path), str(path))
    found = [Reading(FILE, counts)]
    for name, package, read in READERS:
        if find_spec(package) is None:
            found.append(Reading(name, None, 'not installed'))
            continue
        try:
            image = read(str(path))
        except (OSError, RuntimeError, ValueError, TypeError) as error:  # as the libraries refuse files
            found.append(Reading(name, None, f'refused ({type(error).__name__})'))
            continue
        found.append(Reading(name, _one_channel(image)) if image is not None else Reading(name, None, 'refused'))
    found.append(Reading(f'LoadIRImageFromFile and ToneMapping({settings["method"]})', tone_map(counts, **settings)))
    return found


def _one_channel(image: np.ndarray) -> np.ndarray:
    return image if image.ndim == 2 else image[..., int(image.reshape(-1, image.shape[-1]).max(0).argmax())]


def loaders_table(readings: Sequence[Reading]) -> str:
    """The readings as a Markdown table: type, range and number of different values."""
    return markdown_table(HEADER, [_row(reading) for reading in readings])


def _row(reading: Reading) -> tuple[object, ...]:
    if reading.image is None:
        return reading.reader, reading.reason, '-', '-', '-'
    low, high = (f'{value:.4g}' if reading.image.dtype.kind == 'f' else value for value in _range(reading.image))
    return reading.reader, reading.image.dtype, low, high, reading.levels


def _range(image: np.ndarray) -> tuple[float, float]:
    return image.min().item(), image.max().item()


def draw_loaders(readings: Sequence[Reading], path: str | os.PathLike, columns: int = 3) -> None:
    """Draws what each reader that returns 8 bits shows, black at 0 and white at 255.

    Raises:
        ValueError: If the ending of the path is no picture format.
    """
    shown = [reading for reading in readings if reading.image is not None and reading.image.dtype == np.uint8]
    height, width = shown[0].image.shape
    rows = -(-len(shown) // columns)
    size = (3.6 * columns, rows * (3.6 * height / width + 0.35))
    figure = Figure(figsize=size, layout='constrained', dpi=110)
    for axes in figure.subplots(rows, columns, squeeze=False).flat:
        axes.set(xticks=[], yticks=[])
    for axes in figure.axes[len(shown) :]:
        axes.remove()
    for axes, reading in zip(figure.axes, shown, strict=True):
        axes.imshow(reading.image, cmap='gray', vmin=0, vmax=255)
        axes.set_title(f'{reading.reader}\n{reading.levels} value{"s" * (reading.levels != 1)}', fontsize=8)
    save_figure(figure, Path(path))
