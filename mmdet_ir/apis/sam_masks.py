"""Masks of a promptable segmenter (SAM, Kirillov et al., ICCV 2023) for boxes that are known already."""

import os

import numpy as np
import torch
from mmdet.structures.mask import mask2bbox
from torchvision.ops import box_iou

from ..datasets.images.files import grey_levels
from ..datasets.images.infrared_io import read_infrared


class SamInBoxes:
    """SAM through ``transformers``, asked for one mask in each box; see ``MasksInBoxes`` for the interface.

    SAM was trained on colour photographs. It gets the image as 8-bit grey levels in three equal channels; how good its
    masks of infrared images are was not measured here.

    Args:
        model: Folder with the weights and the settings of the processor, or their name on the Hugging Face hub, such
            as ``facebook/sam-vit-base`` (Apache-2.0).
        device: Defaults to the GPU if there is one.

    Raises:
        ImportError: If ``transformers`` is not installed.
        FileNotFoundError: If there are no such weights, or no network to fetch them.
    """

    method = 'sam'
    classes = None  # of any class

    def __init__(self, model: str | os.PathLike, device: str | None = None) -> None:
        try:
            from transformers import SamModel, SamProcessor
        except ImportError as error:
            raise ImportError(
                '--sam: expected the package transformers, which is not installed: pip install transformers (or the '
                'extra: pip install "mmdet_ir[sam]")'
            ) from error
        self.device = device or ('cuda' if torch.cuda.is_available() else 'cpu')
        try:
            self.processor = SamProcessor.from_pretrained(str(model))
            self.model = SamModel.from_pretrained(str(model)).to(self.device).eval()
        except OSError as error:
            raise FileNotFoundError(
                f'--sam {model}: expected a folder with the weights of SAM, or their name on the Hugging Face hub: '
                f'{str(error).splitlines()[0]}'
            ) from error

    @torch.inference_mode()
    def __call__(self, image: dict, boxes: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Predict the masks of an image's boxes.

        Args:
            image: ``img_path`` and, of a stack, ``page``.
            boxes: ``[N, 4]`` xyxy in pixels of the image file.
            labels: ``[N]``; not looked at.

        Returns:
            Masks ``[N, H, W]`` bool, not cut to the boxes; and the IoU ``[N]`` of each mask's extent with its box.
        """
        grey = grey_levels(read_infrared(image['img_path'], page=image.get('page')))
        inputs = self.processor(np.stack([grey] * 3, axis=-1), input_boxes=[boxes.tolist()], return_tensors='pt')
        prompts = {
            'pixel_values': inputs['pixel_values'].to(self.device),
            'input_boxes': inputs['input_boxes'].to(self.device, torch.float32),
        }
        logits = self.model(**prompts, multimask_output=False).pred_masks.cpu()
        sizes = inputs['original_sizes'].cpu(), inputs['reshaped_input_sizes'].cpu()
        masks = self.processor.image_processor.post_process_masks(logits, *sizes)[0][:, 0].bool()
        overlaps = box_iou(mask2bbox(masks), torch.as_tensor(boxes, dtype=torch.float32))
        return masks.numpy(), overlaps.diagonal().numpy()
