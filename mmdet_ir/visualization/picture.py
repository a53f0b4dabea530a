"""What the model saw, as a picture: after loading and tone mapping, before normalisation."""

import cv2
import mmcv
import numpy as np
import torch


def as_picture(inputs: torch.Tensor, metainfo: dict) -> np.ndarray:
    """Turns an input of the data preprocessor back into a picture of the original size.

    The file is not read again: a viewer that reads it as 8-bit colour shows 14-bit counts near black.

    Args:
        inputs: Shape (C, h, w), C = 3 (BGR) or 1, as a test pipeline packs it: tone-mapped, resized, maybe flipped
            and padded. Other values than 0..255 (no uint8) are stretched from minimum to maximum.
        metainfo: Of the sample: ``ori_shape`` (H, W), and where the pipeline changed it ``scale_factor`` (width,
            height), ``flip`` and ``flip_direction``.

    Returns:
        uint8, shape (H, W, 3), RGB.

    Example:
        >>> import torch
        >>> from mmdet_ir.visualization import as_picture
        >>> as_picture(torch.zeros(3, 8, 12), {'ori_shape': (4, 6), 'img_shape': (8, 12)}).shape
        (4, 6, 3)
    """
    height, width = metainfo['ori_shape'][:2]
    scale_w, scale_h = metainfo.get('scale_factor', (1, 1))
    image = inputs.permute(1, 2, 0).float().cpu().numpy()[: round(height * scale_h), : round(width * scale_w)]
    if inputs.dtype != torch.uint8:
        low, high = image.min(), image.max()
        image = 255 * (image - low) / max(high - low, np.finfo(np.float32).tiny)
    if metainfo.get('flip'):
        image = mmcv.imflip(image, metainfo['flip_direction'])
    image = np.ascontiguousarray(image[..., ::-1])
    if image.shape[:2] != (height, width):
        enlarge = image.shape[0] < height
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR if enlarge else cv2.INTER_AREA)
    image = np.atleast_3d(image).round().clip(0, 255).astype(np.uint8)
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
