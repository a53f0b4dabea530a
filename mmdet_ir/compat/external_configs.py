"""Lets ``_base_ = 'mmdet_ir::...'`` name our configs in any folder, as ``mmdet::...`` names MMDetection's."""

from mmengine.config import Config, utils

PACKAGE = __name__.partition('.')[0]


def name_own_configs() -> None:
    """Adds this package to those whose configs MMEngine finds: in ``.mim/configs`` of the installed package.

    MMEngine marks what it takes from another package with ``_scope_``, the name of the registries to ask. Ours are
    MMDetection's, which the configs name themselves, so that they stay without the mark: a config that inherits from
    ``mmdet_ir::ir/mask_rcnn.py`` is the one that inherits from the file.
    """
    utils.MODULE2PACKAGE.setdefault(PACKAGE, PACKAGE)
    find = Config._get_cfg_path
    if getattr(find, 'without_scope', False):
        return

    def without_scope(cfg_path: str, filename: str) -> tuple[str, str | None]:
        path, scope = find(cfg_path, filename)
        return path, None if scope == PACKAGE else scope

    without_scope.without_scope = True
    Config._get_cfg_path = staticmethod(without_scope)
