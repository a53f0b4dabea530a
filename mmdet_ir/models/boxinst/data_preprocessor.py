"""BoxInst's pairwise supervision from what an infrared image has (BoxInst: Tian et al., CVPR 2021).

BoxInst learns masks from boxes: neighbouring pixels that look alike shall get the same label. The original calls
pixels alike whose colours in LAB space differ by less than 2.4. A grey image has the lightness only, whose steps are
an arbitrary function of the temperature: of gain and offset of the camera, and of whatever maps 14 bits to 8. Here a
difference of intensities counts against their spread in and around the target's own box, so gain and offset cancel.
"""

import math

import torch
import torch.nn.functional as F
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmdet.models.utils.misc import unfold_wo_center
from mmdet.registry import MODELS
from mmdet.structures.mask import BitmapMasks
from torch import Tensor


def _span(low: Tensor, high: Tensor, positions: Tensor) -> Tensor:
    """Which positions ``[P]`` lie in ``[low, high]``, both ``[N]``; shape ``[N, P]``."""
    return (positions >= low[:, None]) & (positions <= high[:, None])


def pairwise_edges(
    intensity: Tensor, valid: Tensor, boxes: Tensor, stride: int, size: int, dilation: int, threshold: float
) -> Tensor:
    """Which neighbours of each cell look alike, judged by the contrast of each box.

    The similarity of two cells is ``exp(-|I_p - I_q| / s)``, s being the standard deviation of the intensity over the
    cells whose sampled pixel lies in the box or at most one cell beside it. A target that fills the fraction f of this
    region at a contrast C has ``s = C sqrt(f (1 - f))``, up to noise and texture: about C / 2. With the threshold 0.7,
    cells are alike up to 0.36 s, which is a sixth of the contrast.

    Args:
        intensity: Mean of each cell, shape ``[H, W]``, any unit.
        valid: Cells within the image, shape ``[H, W]``, bool; the others are padding.
        boxes: Shape ``[N, 4]``, xyxy in pixels of the image; N may be 0.
        stride: Size of a cell in pixels; its mask is sampled at pixel ``stride // 2``.
        size: Cells along each side of the neighbourhood, odd.
        dilation: Distance between neighbours in cells.
        threshold: Smallest similarity, in (0, 1).

    Returns:
        Shape ``[N, size * size - 1, H, W]``, bool; neighbours in row-major order without the cell itself.

    Example:
        >>> import torch
        >>> from mmdet_ir.models.boxinst import pairwise_edges
        >>> intensity = torch.tensor([[0.0, 0.0, 9.0, 9.0]]).repeat(4, 1)  # two halves
        >>> whole = torch.tensor([[0.0, 0.0, 16.0, 16.0]])
        >>> edges = pairwise_edges(intensity, torch.ones(4, 4, dtype=torch.bool), whole, 4, 3, 1, threshold=0.7)
        >>> edges[0, 4, 1].tolist()  # of the second row, with the neighbour to the right
        [True, False, True, False]
    """
    height, width = intensity.shape
    sampled = [torch.arange(length, device=boxes.device) * stride + stride // 2 for length in (height, width)]
    rows = _span(boxes[:, 1] - stride, boxes[:, 3] + stride, sampled[0])
    columns = _span(boxes[:, 0] - stride, boxes[:, 2] + stride, sampled[1])
    region = (rows[:, :, None] & columns[:, None, :] & valid).to(intensity)
    count = region.sum((1, 2)).clamp(min=1)
    mean = (region * intensity).sum((1, 2)) / count
    variance = (region * (intensity - mean[:, None, None]).square()).sum((1, 2)) / count
    reach = -math.log(threshold) * variance.sqrt()

    neighbours = unfold_wo_center(torch.stack([intensity, valid.to(intensity)])[None], size, dilation)[0]
    difference = (intensity - neighbours[0]).abs()
    return (difference <= reach[:, None, None, None]) & (neighbours[1] > 0) & valid


@MODELS.register_module()
class InfraredBoxInstDataPreprocessor(DetDataPreprocessor):
    """MMDetection's ``BoxInstDataPreprocessor`` with :func:`pairwise_edges` in place of LAB colours.

    In training it gives each image's ``gt_instances`` what ``BoxInstMaskHead`` learns from: ``masks``, the filled
    boxes, and ``pairwise_masks``. It needs no masks, no colours and no scikit-image. Channels are averaged; they may
    be one.

    Args:
        *args: Positional arguments of ``DetDataPreprocessor``.
        mask_stride: Stride of the learned masks, ``mask_out_stride`` of the mask head.
        pairwise_size: As the mask head's.
        pairwise_dilation: As the mask head's.
        pairwise_thresh: Smallest similarity of cells that shall get the same label.
        **kwargs: Keyword arguments of ``DetDataPreprocessor``.

    Raises:
        ValueError: If the threshold is not between 0 and 1.

    Example:
        >>> import torch
        >>> from mmdet_ir.models import InfraredBoxInstDataPreprocessor
        >>> preprocess = InfraredBoxInstDataPreprocessor(mean=[128.0] * 3, std=[64.0] * 3, pad_size_divisor=32)
        >>> preprocess({'inputs': [torch.zeros(3, 30, 40)], 'data_samples': None})['inputs'].shape
        torch.Size([1, 3, 32, 64])
    """

    def __init__(
        self,
        *args,
        mask_stride: int = 4,
        pairwise_size: int = 3,
        pairwise_dilation: int = 2,
        pairwise_thresh: float = 0.7,
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        if not 0 < pairwise_thresh < 1:
            raise ValueError(f'expected a pairwise_thresh between 0 and 1, got {pairwise_thresh}')
        self.mask_stride = mask_stride
        self.pairwise_size = pairwise_size
        self.pairwise_dilation = pairwise_dilation
        self.pairwise_thresh = pairwise_thresh

    def forward(self, data: dict, training: bool = False) -> dict:
        """Normalises and pads the images, and in training adds ``masks`` and ``pairwise_masks``.

        Args:
            data: ``inputs``, images ``[C, H, W]``, and ``data_samples``.
            training: Whether the samples have ground truth to learn from.

        Returns:
            ``inputs``, shape ``[B, C, H, W]``, and ``data_samples``.
        """
        data = super().forward(data, training)
        if not training:
            return data
        # Normalised values serve as well as raw ones, since gain and offset cancel.
        cells = F.avg_pool2d(data['inputs'].float().mean(1, keepdim=True), self.mask_stride)[:, 0]
        for intensity, sample in zip(cells, data['data_samples'], strict=True):
            gt, boxes = sample.gt_instances, sample.gt_instances.bboxes
            start, stride = self.mask_stride // 2, self.mask_stride
            valid = torch.zeros_like(intensity, dtype=torch.bool)
            image_height, image_width = sample.img_shape
            valid[: len(range(start, image_height, stride)), : len(range(start, image_width, stride))] = True
            gt.pairwise_masks = pairwise_edges(
                intensity, valid, boxes, stride, self.pairwise_size, self.pairwise_dilation, self.pairwise_thresh
            )
            gt.masks = self._filled_boxes(boxes, sample.batch_input_shape)
        return data

    @staticmethod
    def _filled_boxes(boxes: Tensor, shape: tuple[int, int]) -> BitmapMasks:
        """Masks that cover every pixel a box touches, as in the original; ``shape`` is height and width."""
        boxes = boxes.floor()
        rows = _span(boxes[:, 1], boxes[:, 3], torch.arange(shape[0], device=boxes.device))
        columns = _span(boxes[:, 0], boxes[:, 2], torch.arange(shape[1], device=boxes.device))
        return BitmapMasks((rows[:, :, None] & columns[:, None, :]).to(torch.uint8).cpu().numpy(), *shape)
