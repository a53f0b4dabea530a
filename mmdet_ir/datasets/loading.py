"""Loading of image files."""

import cv2
from mmcv.transforms import LoadImageFromFile
from mmdet.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadIRImageFromFile(LoadImageFromFile):
    """mmcv's ``LoadImageFromFile`` with errors that name the file.

    8-bit grey files become 3-channel images with equal channels, as the pretrained backbones expect. The arguments
    are those of ``LoadImageFromFile``.
    """

    def transform(self, results: dict) -> dict | None:
        """Load the image of ``results['img_path']``.

        Args:
            results: With ``img_path`` and, from a data set, ``height`` and ``width`` as its annotation file has them.

        Returns:
            ``results`` with ``img`` (``[H, W, 3]``, BGR, 0..255), ``img_shape`` and ``ori_shape``.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it cannot be decoded, or is not of the size that the annotation file says.
        """
        path = results['img_path']
        try:
            loaded = super().transform(results)
        except FileNotFoundError as error:
            raise FileNotFoundError(f'image not found: {path}') from error
        # mmcv asserts that decoding worked; OpenCV raises on an empty file.
        except (AssertionError, cv2.error) as error:
            raise ValueError(f'cannot read image {path}: damaged, empty, or not an image file') from error
        if loaded is None:  # ignore_empty=True
            return None
        expected = (results.get('height'), results.get('width'))
        if None not in expected and loaded['ori_shape'] != expected:
            raise ValueError(
                f'image {path}: expected height and width {expected} as in the annotation file, got '
                f'{loaded["ori_shape"]}'
            )
        return loaded
