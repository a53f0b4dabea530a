"""Lets mmengine, mmcv and mmdet, stock or forked, run on current PyTorch and Python.

Nothing outside this folder may patch them.
"""

import functools

from .operators import operator_backend
from .requirements import require_working_setup

__all__ = ['apply', 'operator_backend']


@functools.cache
def apply() -> None:
    """Prepares this process; calls after the first return at once.

    Raises:
        ImportError: When the installation cannot work; the message says how to mend it.
    """
    require_working_setup()
    from . import amp, checkpoint, distributed, external_configs, notices, operators, packages, saving

    notices.silence_notices()
    operators.serve_operators()
    packages.serve_package_queries()
    packages.serve_absent_packages()
    checkpoint.allow_checkpoint_types()
    checkpoint.guard_checkpoint_loading()
    checkpoint.keep_scheduler_states_plain()
    saving.keep_checkpoints_whole()
    distributed.support_cpu_launchers()
    amp.register()
    packages.import_mmdet_without_its_notice()
    notices.complete_registries()
    external_configs.name_own_configs()
    from .mended import cached_mosaic, rtmdet_ins, solo, stock_inference  # (last: they import transforms and heads)

    rtmdet_ins.scale_masks_as_their_boxes()
    solo.keep_labels_whole()
    cached_mosaic.keep_masks_on_their_mosaic()
    stock_inference.name_our_inferencer()
    stock_inference.keep_test_pipelines()
