from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS


@DATASETS.register_module()
class IRDataset(CocoDataset):
    """COCO-style infrared data set with the four classes of the paper, in the paper's order."""

    METAINFO = {
        'classes': ('human', 'car', 'bicycle', 'uav'),
        'palette': [(230, 60, 70), (60, 160, 250), (90, 210, 110), (250, 190, 50)],
    }
