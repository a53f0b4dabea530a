"""What the options of tools offer, and their defaults, where these belong to rooms that take seconds to import."""

BACKENDS = ('faster-coco-eval', 'pycocotools')  # of the COCO evaluation
BOUNDARY_RATIO = 0.02  # width of the margin that boundary IoU compares, as a fraction of the image diagonal
RING_WIDTH = 20  # pixels around a target's box whose values the contrast compares with
SPLITS = ('train', 'val', 'test')  # of a config
CLASSES = ('human', 'car', 'bicycle', 'uav')  # of the paper, in its order
RJPEG_MODES = ('picture', 'celsius')  # what a radiometric JPEG is read as
MASK_METHODS = ('threshold', 'ellipse', 'box', 'model', 'sam')  # to derive masks from boxes
MIN_IOU = 0.5  # of a prediction's box with the given one
SCALES = ('map', 'pair')  # of feature maps: each map by its own values, or two maps by one scale
SUFFIXES = {'onnx': '.onnx', 'openvino': '.xml', 'torchscript': '.pt', 'torch-export': '.pt2'}  # of exported models
MASKS = ('raw', 'pasted')  # in the output of an exported model
PRECISIONS = {'float32': 'f32', 'bfloat16': 'bf16'}  # of an exported model, and what OpenVINO calls them
# Layers that quantisation keeps: one step of 1/255 of the range of scores, box deltas and mask logits is a lot there,
# and they are a small part of the time.
KEPT = ('rpn_cls', 'rpn_reg', 'fc_cls', 'fc_reg', 'conv_logits')
# Public data that tools/data/convert.py knows by name, and the folders of each.
RELEASES = {
    'irstd-1k': 'IRSTD-1k, small targets: SRC holds IRSTD1k_Img/ and IRSTD1k_Label/',
    'sirst': 'SIRST and NUDT-SIRST, small targets: SRC holds images/ and masks/',
    'llvip': 'LLVIP, people by night: SRC holds infrared/ and Annotations/',
    'mfnet': 'MFNet, streets: SRC holds images/ (four channels), labels/ and lists',
    'msrs': 'MSRS, streets: SRC holds train/ and test/ with ir/ and Segmentation_labels/',
    'massmind': 'MassMIND, harbours: SRC holds images, masks of classes and masks of instances',
    'pst900': 'PST900, underground: SRC holds train/ and test/ with thermal/, thermal_raw/ and labels/',
    'drone-vehicle': 'DroneVehicle, vehicles from above: SRC holds train/, val/ and test/ with *imgr/ and *labelr/',
}
VAL_DATES = ('20210116', '20210121')  # of HIT-UAV's flights
STRIDE = 30  # frames, one second: the drone clips have 30 frames a second
EMPTY_EVERY = 5  # of the clips' frames without a drone, those that are kept
# Table 4, in its order: key in paper_results.yaml -> config.
TABLE4 = {
    'mask_rcnn': 'configs/ir/mask_rcnn.py',
    'blendmask': 'configs/baselines/blendmask_r50_fpn.py',
    'condinst': 'configs/baselines/condinst_r50_fpn_semantic.py',
    'boxinst': 'configs/baselines/boxinst_r50_fpn.py',
    'solov2': 'configs/baselines/solov2_r50_fpn.py',
    'sparseinst': 'configs/baselines/sparseinst_r50_iam.py',
    'ours': 'configs/ir/mask_rcnn_bnsa_focalsiou_mbcedicels.py',
}
# Of the benchmark: forms of inference, ways in which threads wait for each other, a model that is no config.
EAGER = 'eager'
EXPORTED_FORMS = ('onnx', 'openvino', 'openvino-bf16')
FORMS = (EAGER, 'channels-last', 'bf16', 'channels-last+bf16', 'compile', 'compile-parts', *EXPORTED_FORMS)
TORCHVISION = 'torchvision/maskrcnn_resnet50_fpn'
WAYS_TO_WAIT = ('spinning', 'spin 10000', 'spin 1000', 'passive', 'one thread')
