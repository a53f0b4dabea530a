"""BoxInst with the original's similarity of colours in LAB space, which needs scikit-image."""

_base_ = './boxinst_r50_fpn.py'

model = dict(
    data_preprocessor=dict(type='BoxInstDataPreprocessor', pairwise_color_thresh=0.3, bottom_pixels_removed=0)
)
