"""Readers of cameras' own files and of DICOM, each through a package that is optional."""

import tempfile
from pathlib import Path

import numpy as np

from .readers import register_reader


def _dicom_frames(path: Path) -> int:
    import pydicom

    return int(pydicom.dcmread(path, stop_before_pixels=True).get('NumberOfFrames', 1) or 1)


@register_reader('.dcm', '.dicom', count=_dicom_frames, package='pydicom')
def read_dicom(path: Path, page: int) -> np.ndarray:
    """Values of a frame, with the file's own rescaling (slope and intercept)."""
    import pydicom
    from pydicom.pixels import apply_rescale

    file = pydicom.dcmread(path)
    if file.get('SamplesPerPixel', 1) != 1:
        raise ValueError(f'expected one value for each pixel, got {file.SamplesPerPixel} (a colour picture)')
    pixels = file.pixel_array
    pixels = pixels[page] if int(file.get('NumberOfFrames', 1) or 1) > 1 else pixels
    slope, intercept = float(file.get('RescaleSlope', 1)), float(file.get('RescaleIntercept', 0))
    return pixels if (slope, intercept) == (1, 0) else apply_rescale(pixels, file)


@register_reader('.irg', package='infiray-irg')
def read_irg(path: Path, page: int) -> np.ndarray:
    """Degrees Celsius of a file of InfiRay's cameras (C200, P200, T2 and relatives)."""
    import infiray_irg

    _, celsius, _ = infiray_irg.load(path.read_bytes())
    return celsius


@register_reader('.is2', package='fluke-thermal-reader')
def read_is2(path: Path, page: int) -> np.ndarray:
    """Degrees Celsius of a file of Fluke's cameras, with the emissivity and background that the camera stored."""
    from fluke_thermal_reader.parsers import IS2Parser

    parser = IS2Parser()
    with tempfile.TemporaryDirectory() as folder:  # (its own one is the same in all processes)
        parser.temp_dir = str(Path(folder, 'content'))
        return parser.parse(str(path))['data']


def _hcc_frames(path: Path) -> int:
    from fasthcc import HCCReader

    with HCCReader(path) as file:
        return file.n_frames


@register_reader('.hcc', count=_hcc_frames, package='fasthcc')
def read_hcc(path: Path, page: int) -> np.ndarray:
    """Values of a frame of a Telops recording: counts, or calibrated values where its header says how."""
    from fasthcc import HCCReader

    with HCCReader(path) as file:
        counts = np.array(file.read_frames(page, page + 1)[0])
        if file.header_version[0] < 10 or file.calibration_mode < 1:
            return counts
        (header,) = file.read_metadata(page, page + 1)
    return (counts * 2.0 ** header['DataExp'] + header['DataOffset']).astype(np.float32)
