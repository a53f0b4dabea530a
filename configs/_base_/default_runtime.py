"""MMDetection's runtime, with this project registered in every process that reads the config."""

_base_ = 'mmdet::_base_/default_runtime.py'

custom_imports = dict(imports=['mmdet_ir'], allow_failed_imports=False)
default_hooks = dict(
    # One unit of log text every 20 steps: a CPU-size epoch is short.
    logger=dict(interval=20),
    checkpoint=dict(interval=1, max_keep_ckpts=2, save_best='coco/segm_mAP', rule='greater'),
    visualization=dict(type='IRVisualizationHook'),  # draws what the model saw, after tone mapping
)
# A wrong class count would train without a word; the second hook notes commit, hardware and versions for records.
custom_hooks = [dict(type='NumClassCheckHook'), dict(type='EnvironmentHook')]
randomness = dict(seed=0)
