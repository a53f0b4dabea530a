"""Loading of image files."""

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS
from mmengine.logging import MMLogger

from ..images.infrared_io import RJPEG_MODES, check_rjpeg_settings, read_with_header, tell_turned, turned
from ..images.values import as_plain_type, eight_bit_content, repeat_channels, require_array, to_single_channel

_DISGUISES = ('error', 'warn', 'allow')


@TRANSFORMS.register_module()
class LoadIRImageFromFile(BaseTransform):
    """Loads an infrared image of 8 to 16 bits, or of temperatures; see ``read_infrared`` for the kinds of files.

    Values stay as the file has them. What holds more than 8 bits needs ``ToneMapping`` before it reaches a model that
    was made for 0..255, so it is refused unless ``raw`` says that this is taken care of.

    Args:
        channels: 3 repeats grey values, as backbones for colour images expect; 1 keeps them single, which is faster
            before ``ToneMapping`` and needed for a backbone with one input channel (``GreyStemResNet``).
        raw: Files may hold counts or temperatures of more than 8 bits; 8-bit files load as before.
        rjpeg: ``'picture'`` or ``'celsius'``: what to take from FLIR R-JPEG files.
        rjpeg_settings: ``emissivity``, ``reflected`` (degrees Celsius) and ``distance`` (metres) instead of what the
            camera stored, for ``'celsius'``; see ``read_infrared``.
        disguised: What to do about 8-bit content in a 16-bit file: ``'error'``, ``'warn'`` or ``'allow'``. The values
            stay as they are.
        to_float32: Converts what was loaded to float32.
        backend_args: Of mmengine's file access; ``None`` for local files.

    Raises:
        ValueError: For an argument out of its choices.

    Example:
        >>> import cv2, numpy as np
        >>> from mmdet_ir.datasets import LoadIRImageFromFile
        >>> written = cv2.imwrite('counts.png', np.full((4, 5), 7000, np.uint16))
        >>> image = LoadIRImageFromFile(channels=1, raw=True)({'img_path': 'counts.png'})['img']
        >>> image.dtype, image.shape, int(image.max())
        (dtype('uint16'), (4, 5), 7000)
    """

    def __init__(
        self,
        channels: int = 3,
        raw: bool = False,
        rjpeg: str = 'picture',
        disguised: str = 'error',
        to_float32: bool = False,
        backend_args: dict | None = None,
        rjpeg_settings: dict | None = None,
    ) -> None:
        choices = {'channels': (channels, (1, 3)), 'rjpeg': (rjpeg, RJPEG_MODES), 'disguised': (disguised, _DISGUISES)}
        for name, (value, allowed) in choices.items():
            if value not in allowed:
                raise ValueError(f'LoadIRImageFromFile: {name}: expected one of {allowed}, got {value!r}')
        check_rjpeg_settings(rjpeg, rjpeg_settings)
        self.rjpeg_settings = rjpeg_settings
        self.channels = channels
        self.raw = raw
        self.rjpeg = rjpeg
        self.disguised = disguised
        self.to_float32 = to_float32
        self.backend_args = backend_args

    @property
    def reading(self) -> dict:
        """Arguments of ``read_infrared``."""
        return {'rjpeg': self.rjpeg, 'rjpeg_settings': self.rjpeg_settings, 'backend_args': self.backend_args}

    def transform(self, results: dict) -> dict:
        """Load the image of ``results['img_path']``.

        Args:
            results: With ``img_path``; from a data set also ``height`` and ``width`` as its annotation file has them,
                and for stacks ``page``, from 0.

        Returns:
            ``results`` with ``img`` (``[H, W, 3]``, BGR, or ``[H, W]`` for ``channels=1``; uint8 0..255, uint16
            counts or float32 in the file's unit), ``img_shape`` and ``ori_shape`` (height, width).

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it cannot be read (see ``read_infrared``), is not of the size that the annotation file
                says, holds more than 8 bits without ``raw``, 8-bit content in 16 bits, or colours for ``channels=1``.
        """
        path = results['img_path']
        image, header = read_with_header(path, page=results.get('page'), **self.reading)
        shape, expected = image.shape[:2], (results.get('height'), results.get('width'))
        if None not in expected and shape != expected:
            why = f'; {turned(header)}' if header.orientation > 1 else ''
            raise ValueError(
                f'image {path}: expected height and width {expected} as in the annotation file, got {shape}{why}'
            )
        tell_turned(header, path)
        results['stored_dtype'] = image.dtype  # (``to_float32`` hides it from the tone mapping)
        results['img'] = self.prepare(image, path)
        results['img_shape'] = results['ori_shape'] = shape
        return results

    def prepare(self, image: np.ndarray, name: str) -> np.ndarray:
        """What ``transform`` does with an image that has been read; for arrays that come from elsewhere.

        Args:
            image: As ``read_infrared`` or ``as_plain_type`` returns it.
            name: For the messages.

        Returns:
            ``[H, W, 3]`` or, for ``channels=1``, ``[H, W]``.

        Raises:
            ValueError: As ``transform`` does, but for the size.
        """
        if image.dtype != np.uint8:
            self.check_depth(image, name)
        return self.arrange(image, name)

    def arrange(self, image: np.ndarray, name: str) -> np.ndarray:
        """The channels and the type that the model wants, of an image or a part of it whose depth was checked."""
        if self.channels == 1:
            image = to_single_channel(image, name)
        elif image.ndim == 2:
            image = repeat_channels(image, self.channels)
        return image.astype(np.float32) if self.to_float32 else image

    def take(self, array: object, name: str) -> np.ndarray:
        """An array that comes from elsewhere, as ``prepare`` returns it; arguments and errors as there.

        Raises:
            TypeError: If it is no array of one image.
        """
        require_array(array, name)
        return self.prepare(as_plain_type(array, name), name)

    def check_depth(self, image: np.ndarray, path: str) -> None:
        """Refuses what holds more than 8 bits without ``raw``, and 8-bit content in 16 bits, as ``disguised`` says.

        Args:
            image: uint16 or float32, any shape; the values that occur suffice.
            path: For the messages.

        Raises:
            ValueError: For an image that is refused.
        """
        if not self.raw:
            kind = '16-bit counts' if image.dtype == np.uint16 else 'floating-point values'
            raise ValueError(
                f'image {path}: expected 8 bits, got {kind}; they need tone mapping: '
                f"dict(type='LoadIRImageFromFile', channels=1, raw=True), then dict(type='ToneMapping', ...), "
                f'see docs/guide/infrared_input.md'
            )
        reason = eight_bit_content(image) if image.dtype == np.uint16 and self.disguised != 'allow' else None
        if reason is not None:
            message = (
                f'image {path}: expected counts of more than 8 bits, got 8-bit content in a 16-bit file: {reason}'
            )
            if self.disguised == 'error':
                raise ValueError(f"{message}. Take it out or export it anew; disguised='warn' loads it all the same")
            MMLogger.get_current_instance().warning(message)

    def __repr__(self) -> str:
        settings = ['channels', 'raw', 'rjpeg', 'disguised', 'to_float32', 'backend_args']
        settings += ['rjpeg_settings'] if self.rjpeg_settings else []
        return f'{type(self).__name__}({", ".join(f"{name}={getattr(self, name)!r}" for name in settings)})'
