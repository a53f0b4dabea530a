"""Hooks that a base file adds beside those of the config.

Two base files must not set the same name, so a base file cannot add to ``custom_hooks``. The files of
``configs/_base_/hooks`` set a name of their own instead, which becomes an entry of ``custom_hooks`` here.
"""

from collections.abc import Mapping

from mmengine.config import Config

NAMES = ('ema_hook', 'early_stopping_hook')


def take_extra_hooks(cfg: Config) -> Config:
    """Moves ``ema_hook`` and ``early_stopping_hook`` into ``custom_hooks``, in place.

    Args:
        cfg: A whole config.

    Raises:
        ValueError: If the entry is no hook.

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
        cfg.custom_hooks = [*(cfg.get('custom_hooks') or ()), hook]
    return cfg
