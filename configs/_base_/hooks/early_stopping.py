"""The training ends when the mask mAP has not risen in five validations; add this file to `_base_` of your config."""

# mmengine's own min_delta is 0.1, more than mask mAP gains in most trainings; and by itself it ends a training whose
# score is NaN, as of a validation set without targets.
early_stopping_hook = dict(
    type='EarlyStoppingHook',
    monitor='coco/segm_mAP',
    rule='greater',
    min_delta=0.001,
    patience=5,
    check_finite=False,
)
