"""Table 5: the baseline on FLIR ADAS.

FLIR has boxes only, so its masks are derived and marked as such:
`python tools/data/convert.py flir-v2 downloads/FLIR_ADAS_v2 data/flir --derive-masks --classes four`. The paper does
not say where its masks come from.
"""

_base_ = '../ir/mask_rcnn.py'

data_root = 'data/flir/'
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root))
val_evaluator = dict(ann_file=data_root + 'annotations/val.json')
test_evaluator = dict(ann_file=data_root + 'annotations/val.json')
