"""Lets ``_base_ = 'mmdet_ir::...'`` name our configs in any folder, as ``mmdet::...`` names MMDetection's."""

from mmengine.config import utils


def name_own_configs() -> None:
    """Adds this package to those whose configs MMEngine finds: in ``.mim/configs`` of the installed package."""
    utils.MODULE2PACKAGE.setdefault('mmdet_ir', 'mmdet_ir')
