"""Trainings that would end, or be lost, without having saved their weights: told before the first step."""

import logging
from collections.abc import Mapping

from mmengine.config import Config
from mmengine.logging import print_log

from ..config.lengths import counts_epochs


def tell_unsaved_weights(cfg: Config) -> None:
    """A warning where a training ends without having saved anything, or saves nothing before its end.

    Args:
        cfg: A whole config.
    """
    saving, loop = (cfg.get('default_hooks') or {}).get('checkpoint') or {}, cfg.get('train_cfg') or {}
    text = _never(saving, loop) or _at_the_end(cfg, saving, loop)
    if text:
        print_log(f'default_hooks.checkpoint: {text}', 'current', logging.WARNING)


def _never(saving: Mapping, loop: Mapping) -> str:
    by_epoch, interval = saving.get('by_epoch', True), saving.get('interval', -1)
    length = loop.get('max_epochs' if by_epoch else 'max_iters')
    saves = saving.get('save_last', True) or saving.get('save_best')
    if saves or not isinstance(length, int) or 0 < interval <= length:
        return ''
    return (
        f'interval={interval} for {length} {"epochs" if by_epoch else "iterations"}, save_last=False and no '
        'save_best, so no weights are saved; lower interval, or take save_last=True'
    )


def _at_the_end(cfg: Config, saving: Mapping, loop: Mapping) -> str:
    length = loop.get('max_iters')
    if not saving or counts_epochs(cfg) or not isinstance(length, int) or not saving.get('by_epoch', True):
        return ''
    if saving.get('save_best'):
        what = 'only the best weights are saved before its end, from which an interrupted training cannot go on'
    else:
        what = 'nothing is saved before its end, and what is interrupted is lost'
    return (
        f'by_epoch=True in a training of {length} iterations, which has no epochs: {what}; set by_epoch=False, and '
        f'interval in iterations'
    )
