"""The types that a config names: registered names, with or without a scope, or, in pure Python style, classes."""

from collections.abc import Iterator, Mapping
from importlib import import_module

import mmengine.registry
from mmengine.config import Config
from mmengine.config.lazy import LazyAttr, LazyObject
from mmengine.registry import Registry

_OWN_TABLES = ('nms', 'soft_nms')  # functions that mmcv looks up by their plain names, without a registry


def type_name(value: object) -> str:
    """The plain name of a ``type``: ``'Resize'`` for ``'Resize'``, ``'mmdet.Resize'`` and the class itself.

    Args:
        value: The ``type``, or a dict that may have one; without one the name is empty.
    """
    kind = value.get('type') if isinstance(value, Mapping) else value
    if kind is None:
        return ''
    return kind.rsplit('.', 1)[-1] if isinstance(kind, str) else getattr(kind, '__name__', str(kind))


def typed_dicts(value: object) -> Iterator[Mapping]:
    """All dicts with a ``type`` within nested lists and dicts, outer ones first."""
    if isinstance(value, Mapping):
        if 'type' in value:
            yield value
        for inner in value.values():
            yield from typed_dicts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from typed_dicts(inner)


def with_type_names(cfg: Config) -> Config:
    """Puts names in the place of the classes that a pure-Python config gives as types, in place.

    So a config means, prints and hashes the same in both styles, and whatever reads or extends it knows one of them. A
    class gets the name that it is registered under, and its whole import path where the name would give another class
    or none; both are what mmengine builds from.

    Args:
        cfg: A config of either style; one in text style stays as it is.
    """
    if any(isinstance(kind, LazyObject | LazyAttr) or callable(kind) for _, kind in _types(cfg._cfg_dict)):
        if cfg.get('default_scope') is None:
            cfg.default_scope = 'mmdet'  # classes need no scope, names do
        registries = _registries(cfg.default_scope)
        for entry, kind in list(_types(cfg._cfg_dict)):
            kind = kind.build() if isinstance(kind, LazyObject | LazyAttr) else kind
            if callable(kind):
                entry['type'] = _name(kind, registries)
    return cfg


def _types(value: object) -> Iterator[tuple[dict, object]]:
    """All dicts with a ``type`` and the type as it stands: a ``ConfigDict`` itself would import what it names."""
    if isinstance(value, dict):
        if 'type' in value:
            yield value, dict.__getitem__(value, 'type')
        for inner in dict.values(value):
            yield from _types(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _types(inner)


def _registries(scope: str) -> list[list[Registry]]:
    """Registries in the order in which a name of a scope is looked up, for each kind of object."""
    if scope == 'mmdet':
        import_module('mmdet.registry')  # (it hangs its registries below mmengine's)
    found = []
    for root in {
        id(value): value for value in vars(mmengine.registry).values() if isinstance(value, Registry)
    }.values():
        found.append([root.children[scope], root] if scope in root.children else [root])
        for registry in found[-1]:
            registry.import_from_location()
    return found


def _name(kind: object, registries: list[list[Registry]]) -> str:
    own = getattr(kind, '__name__', '')
    given = [name for order in registries for r in order for name, other in r.module_dict.items() if other is kind]
    for name in sorted(given, key=lambda name: name != own):  # its own name, if it is registered under several
        if all(_looked_up(name, order) in (kind, None) for order in registries):
            return name
    return own if not given and own in _OWN_TABLES else f'{kind.__module__}.{kind.__qualname__}'


def _looked_up(name: str, order: list[Registry]) -> object | None:
    return next((registry.module_dict[name] for registry in order if name in registry.module_dict), None)
