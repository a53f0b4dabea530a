"""Hooks that a base file adds beside those of the config.

Two base files must not set the same name, so a base file cannot add to ``custom_hooks``. The files of
``configs/_base_/hooks`` set a name of their own instead, which becomes an entry of ``custom_hooks`` here.
"""

from collections.abc import Mapping

from mmengine.config import Config

from .types import type_name

NAMES = ('ema_hook', 'early_stopping_hook')


def take_extra_hooks(cfg: Config) -> Config:
    """Moves ``ema_hook``, in the place of another average, and ``early_stopping_hook`` into ``custom_hooks``.

    Two moving averages of the same weights would exchange them crosswise, and the weights in training would be lost.

    Args:
        cfg: A whole config.

    Raises:
        ValueError: If the entry is no hook, or if ``custom_hooks`` has two moving averages.

    Example:
        >>> from mmengine.config import Config
        >>> take_extra_hooks(Config({'ema_hook': {'type': 'EMAHook'}})).custom_hooks
        [{'type': 'EMAHook'}]
    """
    for name in NAMES:
        hook = cfg.pop(name, None) if name in cfg else None
        if hook is None:
            continue
        if not isinstance(hook, Mapping) or 'type' not in hook:
            raise ValueError(f'{name}: expected dict(type=...), a hook, got {hook!r}')
        taken = type_name(hook) == 'EMAHook'
        others = [other for other in cfg.get('custom_hooks') or () if not taken or type_name(other) != 'EMAHook']
        cfg.custom_hooks = [*others, hook]
    averages = [hook for hook in cfg.get('custom_hooks') or () if type_name(hook) == 'EMAHook']
    if len(averages) > 1:
        raise ValueError(f'custom_hooks: expected one EMAHook, got {len(averages)}, which would mix up the weights')
    return cfg
