"""Settings in which the model of weights was another one than that of a config, though the parameters fit."""

import ast
import inspect
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.logging import print_log

from ...config.types import type_name
from ...model_zoo import CONFIG, ROOT, WEIGHTS

_PARTS = ('backbone', 'neck')  # (anchors, losses and tests of the heads belong to the data)
_INPUT = 'data_preprocessor'
_INPUT_KEYS = ('mean', 'std')
# How a training treats a part, and where its weights come from: not what the part computes from them.
_OF_TRAINING = (
    'init_cfg',
    'pretrained',
    'imagenet',
    'frozen_stages',
    'norm_eval',
    'momentum',
    'inplace',
    'zero_init_residual',
    'convert_weights',
    'attn_drop_rate',
    'requires_grad',
    'with_cp',
    'drop_rate',
    'drop_path_rate',
)
_ABSENT = object()


def tell_other_settings(checkpoint: Mapping, path: str, cfg: Config) -> None:
    """Warns of settings of the model that are not those with which its weights were trained.

    Args:
        checkpoint: What the checkpoint file holds.
        path: The file.
        cfg: The config whose model takes the weights.
    """
    theirs, ours = model_settings(checkpoint, path), cfg.get('model')
    others = other_settings(theirs, ours) if theirs and isinstance(ours, Mapping) else []
    if others:
        text = '; '.join(others)
        print_log(
            f'{path}: its model was trained with other settings, which no parameter tells: {text}',
            'current',
            logging.WARNING,
        )


def model_settings(checkpoint: Mapping, path: str) -> dict | None:
    """``model`` of the config that weights were trained with, read without running it.

    Args:
        checkpoint: Content of the file, whose ``meta`` may hold the config as text, as mmengine writes it.
        path: The file; beside the weights of a model of the package lies its config.

    Returns:
        The settings; ``None`` where the config is not known, or is not made of plain values.

    Example:
        >>> from mmdet_ir.engine.fitting.model_settings import model_settings
        >>> model_settings({'meta': {'cfg': "model = dict(neck=dict(type='FPN'))"}}, 'weights.pth')
        {'neck': {'type': 'FPN'}}
    """
    file = Path(path).resolve()
    meta = checkpoint.get('meta')
    if file.name == WEIGHTS and file.parent.parent == ROOT.resolve():
        text = (file.parent / CONFIG).read_text(encoding='utf-8')
    else:
        text = meta.get('cfg') if isinstance(meta, Mapping) else None
    if not isinstance(text, str):
        return None
    try:
        values = [
            _value(line.value)
            for line in ast.parse(text).body
            if isinstance(line, ast.Assign) and [getattr(target, 'id', None) for target in line.targets] == ['model']
        ]
    except (SyntaxError, TypeError, ValueError, RecursionError):
        return None
    return values[-1] if values and isinstance(values[-1], dict) else None


def other_settings(theirs: Mapping, ours: Mapping) -> list[str]:
    """Settings of input, backbone and neck that two models do not share.

    A setting that one of them leaves out has the default of its class. Parts of different types are not compared,
    except for activations: their parameters tell. Of a model around another one, as in semi-supervised training
    and test-time augmentation, the inner one counts.

    Args:
        theirs: ``model`` of the config that the weights were trained with.
        ours: ``model`` of the config that takes them.

    Returns:
        A phrase for each.

    Example:
        >>> import mmdet_ir
        >>> from mmdet_ir.engine.fitting.model_settings import other_settings
        >>> theirs = {'neck': {'type': 'PluginFPN', 'plugin': {'type': 'BNSA', 'residual': True}}}
        >>> other_settings(theirs, {'neck': {'type': 'PluginFPN', 'plugin': {'type': 'BNSA'}}})
        ['neck.plugin.residual was True and is False']
    """
    found = []
    theirs, ours = (model.get('detector') or model.get('module') or model for model in (theirs, ours))
    inputs = [model.get(_INPUT) for model in (theirs, ours)]
    for key in _INPUT_KEYS if all(isinstance(given, Mapping) for given in inputs) else ():
        was, now = (_plain(given.get(key)) for given in inputs)
        if was != now:
            found.append(f'{_INPUT}.{key} was {was} and is {now}')
    for part in _PARTS:
        both = theirs.get(part), ours.get(part)
        was, now = (value if isinstance(value, list | tuple) else [value] for value in both)
        for place, both in enumerate(zip(was, now, strict=False)):
            if all(isinstance(settings, Mapping) for settings in both):
                found += _differences(*both, part if len(was) == 1 else f'{part}[{place}]')
    return found


def _differences(theirs: Mapping, ours: Mapping, place: str) -> Iterator[str]:
    kind = ours.get('type')
    if type_name(theirs) != type_name(ours):
        if place.endswith('act_cfg'):
            yield f'{place}.type was {type_name(theirs)} and is {type_name(ours)}'
        return
    for key in {**theirs, **ours}:
        if key in _OF_TRAINING or key == 'type':
            continue
        was, now = (settings.get(key, _default(kind, key)) for settings in (theirs, ours))
        if isinstance(was, Mapping) and isinstance(now, Mapping):
            yield from _differences(was, now, f'{place}.{key}')
        elif _ABSENT not in (was, now) and _plain(was) != _plain(now):
            yield f'{place}.{key} was {was} and is {now}'


def _default(kind: object, key: str) -> object:
    found = MODELS.get(kind) if isinstance(kind, str) else kind
    for owner in inspect.getmro(found) if inspect.isclass(found) else ():
        parameter = inspect.signature(owner.__init__).parameters.get(key)
        if parameter is not None:
            return _ABSENT if parameter.default is parameter.empty else parameter.default
    return _ABSENT


def _plain(value: object) -> object:
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and getattr(node.func, 'id', None) == 'dict' and not node.args:
        return {_key(keyword): _value(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(item) for item in node.elts]
    if isinstance(node, ast.Dict) and None not in node.keys:
        return {ast.literal_eval(key): _value(value) for key, value in zip(node.keys, node.values, strict=True)}
    return ast.literal_eval(node)


def _key(keyword: ast.keyword) -> str:
    if keyword.arg is None:
        raise ValueError('expected plain values, got **')
    return keyword.arg
