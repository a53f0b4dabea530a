"""Random numbers that depend on the image alone."""

import zlib

import numpy as np
from mmcv.transforms import BaseTransform, Compose
from mmdet.registry import TRANSFORMS


@TRANSFORMS.register_module()
class SeededByImage(BaseTransform):
    """Runs transforms whose random numbers depend on the file and the page, and on nothing that happened before.

    So an image becomes the same whatever the model, the order, or the number of workers.

    Args:
        transforms: Configs of the transforms; they draw from NumPy's global generator.
        seed: Another one gives other numbers.

    Example:
        >>> import numpy as np
        >>> from mmdet_ir.datasets.transforms import SeededByImage
        >>> noise = SeededByImage([{'type': 'SensorNoise', 'prob': 1.0}])
        >>> image = np.full((8, 8, 3), 100, np.uint8)
        >>> first, second = (noise({'img': image.copy(), 'img_path': 'a.png'})['img'] for _ in range(2))
        >>> np.array_equal(first, second)
        True
    """

    def __init__(self, transforms: list[dict], seed: int = 0) -> None:
        self.transforms = Compose([TRANSFORMS.build(transform) for transform in transforms])
        self.seed = seed

    def transform(self, results: dict) -> dict | None:
        name = f'{self.seed}/{results.get("img_id")}/{results.get("page")}'
        before = np.random.get_state()  # noqa: NPY002 (the generator that the transforms draw from)
        np.random.seed(zlib.crc32(name.encode()))  # noqa: NPY002
        try:
            return self.transforms(results)
        finally:
            np.random.set_state(before)  # noqa: NPY002

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.transforms}, seed={self.seed})'
