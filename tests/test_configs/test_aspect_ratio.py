"""Images whose width and height were scaled by different factors: masks and boxes come back to the same places."""

import numpy as np
import pytest
import torch
from building import PLAIN, build, tiny_batch

SIDE, STORED = 64, (128, 32)  # the network's input; height and width of the image as stored
# Sizes, bit depths and variants of a part change nothing about the way back.
VARIANTS = ('_lab.py', '_semantic.py', '_iam.py')
MODELS = [name for name in PLAIN if name.startswith('baselines/') and not name.endswith(VARIANTS)]


@pytest.mark.parametrize('name', ['ir/mask_rcnn.py', *MODELS])
def test_masks_are_scaled_as_the_image_was(name: str) -> None:
    model = build(name).eval()
    batch = tiny_batch(model)
    batch = {'inputs': batch['inputs'][:1], 'data_samples': batch['data_samples'][:1]}
    sample = batch['data_samples'][0]
    sample.set_metainfo({'ori_shape': STORED, 'scale_factor': (SIDE / STORED[1], SIDE / STORED[0])})
    data = model.data_preprocessor(batch, training=False)
    with torch.inference_mode():
        seen, back = (
            model.predict(data['inputs'], data['data_samples'], rescale=rescale)[0].pred_instances.clone().cpu()
            for rescale in (False, True)
        )
    assert len(seen) == len(back) > 0 and back.masks.shape[1:] == STORED
    torch.testing.assert_close(back.scores, seen.scores)
    expected = seen.bboxes * torch.tensor([STORED[1], STORED[0]] * 2) / SIDE
    torch.testing.assert_close(back.bboxes, expected, atol=2, rtol=0.05)
    for mask, small in list(zip(back.masks, seen.masks, strict=True))[:20]:
        if np.asarray(small).sum() > 20:
            height, width = small.shape  # (SOLOv2's masks are always those of the image as stored)
            wanted = _extent(small) * np.repeat([STORED[1] / width, STORED[0] / height], 2)
            np.testing.assert_allclose(_extent(mask), wanted, atol=4)


def _extent(mask: torch.Tensor | np.ndarray) -> np.ndarray:
    """Left, right, top and bottom of a mask."""
    rows, columns = np.nonzero(np.asarray(mask, bool))
    return np.array([columns.min(), columns.max() + 1, rows.min(), rows.max() + 1])
