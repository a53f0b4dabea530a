"""The types that a config names: registered names, with or without a scope, or, in pure Python style, classes."""

from collections.abc import Iterator, Mapping


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
