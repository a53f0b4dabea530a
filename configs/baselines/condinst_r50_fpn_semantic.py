"""CondInst with its auxiliary semantic head, as AdelaiDet trains it and as the paper's Table 4 counts it."""

_base_ = './condinst_r50_fpn.py'

model = dict(
    mask_head=dict(type='CondInstSemanticMaskHead', semantic_head=dict(num_classes=4, feat_channels=128, stride=8))
)
