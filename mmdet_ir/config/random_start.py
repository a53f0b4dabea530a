"""A training from random weights."""

from mmengine.config import Config

from .types import type_name


def start_from_random_weights(cfg: Config) -> list[str]:
    """Takes the weights that a config starts from out of it, and lets the layers learn that were frozen with them.

    Args:
        cfg: A whole config. ``load_from``, ``init_cfg`` of type ``Pretrained`` and older names for pretrained weights
            go, wherever they stand in the model, and with them ``frozen_stages``, ``norm_eval`` and
            ``requires_grad=False``.

    Returns:
        What was changed, a phrase each.

    Example:
        >>> from mmengine.config import Config
        >>> init = {'type': 'Pretrained', 'checkpoint': 'torchvision://resnet50'}
        >>> cfg = Config({'model': {'backbone': {'type': 'ResNet', 'frozen_stages': 1, 'init_cfg': init}}})
        >>> start_from_random_weights(cfg)
        ['model.backbone.init_cfg=None', 'model.backbone.frozen_stages=-1']
    """
    changed = []
    if cfg.get('load_from') is not None:
        changed.append('load_from=None')
    cfg.load_from = None
    _take_out(cfg.get('model'), 'model', changed)
    return changed


def _take_out(value: object, place: str, changed: list[str]) -> None:
    if isinstance(value, list | tuple):
        for i, inner in enumerate(value):
            _take_out(inner, f'{place}[{i}]', changed)
    if not isinstance(value, dict):
        return
    start = value.get('init_cfg')
    given = [entry for entry in (start if isinstance(start, list | tuple) else [start]) if entry is not None]
    left = [entry for entry in given if type_name(entry) != 'Pretrained']
    new = {}
    if len(left) < len(given):
        new['init_cfg'] = left or None
    new |= {key: off for key, off in (('pretrained', None), ('imagenet', False)) if value.get(key)}
    if isinstance(value.get('frozen_stages'), int) and value['frozen_stages'] >= 0:
        new['frozen_stages'] = -1
    if value.get('norm_eval'):
        new['norm_eval'] = False
    if value.get('requires_grad') is False:  # (of norm_cfg)
        new['requires_grad'] = True
    value.update(new)
    changed += [f'{place}.{key}={off}' for key, off in new.items()]
    for key, inner in value.items():
        if key != 'init_cfg':
            _take_out(inner, f'{place}.{key}', changed)
