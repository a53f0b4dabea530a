"""Converters from the layouts of releases and labelling tools to COCO data sets of this project's layout."""

from .class_names import parse_classes
from .cvat_coco import convert_cvat_coco
from .drone_ir import convert_drone_ir
from .flir import convert_flir_v1, convert_flir_v2
from .hit_uav import convert_hit_uav
from .labelme import convert_labelme
from .mask_images import convert_mask_images
from .records import Options
from .report import ConversionReport
from .voc import convert_voc
from .yolo_seg import convert_yolo_seg

__all__ = [
    'ConversionReport',
    'Options',
    'convert_cvat_coco',
    'convert_drone_ir',
    'convert_flir_v1',
    'convert_flir_v2',
    'convert_hit_uav',
    'convert_labelme',
    'convert_mask_images',
    'convert_voc',
    'convert_yolo_seg',
    'parse_classes',
]
