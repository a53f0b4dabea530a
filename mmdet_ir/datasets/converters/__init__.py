"""Converters from the layouts of releases and labelling tools to COCO data sets of this project's layout."""

from .class_names import parse_classes
from .labels.cvat_coco import convert_cvat_coco
from .labels.labelme import convert_labelme
from .labels.mask_images import convert_mask_images
from .labels.voc import convert_voc
from .labels.yolo_seg import convert_yolo_seg
from .records import Options
from .releases.drone_ir import convert_drone_ir
from .releases.flir import convert_flir_v1, convert_flir_v2
from .releases.hit_uav import convert_hit_uav
from .releases.public import RELEASES, convert_release
from .report import ConversionReport

__all__ = [
    'RELEASES',
    'ConversionReport',
    'Options',
    'convert_cvat_coco',
    'convert_drone_ir',
    'convert_flir_v1',
    'convert_flir_v2',
    'convert_hit_uav',
    'convert_labelme',
    'convert_release',
    'convert_mask_images',
    'convert_voc',
    'convert_yolo_seg',
    'parse_classes',
]
