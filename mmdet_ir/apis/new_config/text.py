"""Config text: what differs between two configs, and how it is written for people."""

from collections.abc import Mapping

WIDTH = 110


class Code(str):
    """An expression of the config, such as the name of a variable above; written without quotes."""


def difference(old: Mapping, new: Mapping) -> dict:
    """What has to be merged over ``old`` to get ``new``: dictionaries are merged by key, all else is replaced.

    Example:
        >>> difference({'a': {'b': 1, 'c': 2}, 'd': [1]}, {'a': {'b': 3, 'c': 2}, 'd': [1, 2]})
        {'a': {'b': 3}, 'd': [1, 2]}
        >>> difference({'a': {'type': 'X', 'b': 1}}, {'a': {'type': 'X'}})
        {'a': {'_delete_': True, 'type': 'X'}}
    """
    found = {}
    for key, value in new.items():
        if key not in old:
            found[key] = value
        elif isinstance(value, Mapping) and isinstance(old[key], Mapping):
            if set(old[key]) - set(value):
                found[key] = {'_delete_': True, **value}
            elif changed := difference(old[key], value):
                found[key] = changed
        elif value != old[key]:
            found[key] = value
    return found


def render(value: object, indent: int = 0, column: int = 0) -> str:
    """Text of a setting: ``dict(...)`` as in MMDetection's configs, on one line where it fits.

    Args:
        value: Dictionaries, lists, tuples, :class:`Code` and what ``repr`` writes.
        indent: Of the line that it stands in.
        column: Where in the line it begins.

    Example:
        >>> render({'type': 'Resize', 'scale': Code('image_size')})
        "dict(type='Resize', scale=image_size)"
    """
    if isinstance(value, Code):
        return str(value)
    if isinstance(value, Mapping):
        named = all(isinstance(key, str) and key.isidentifier() for key in value)
        items = sorted(value.items(), key=lambda item: item[0] not in ('_delete_', 'type'))  # as people write them
        parts = [(f'{key}=' if named else f'{key!r}: ', item) for key, item in items]
        return _wrap(parts, 'dict(' if named else '{', ')' if named else '}', indent, column)
    if isinstance(value, list | tuple):
        ends = ('[', ']') if isinstance(value, list) else ('(', ',)' if len(value) == 1 else ')')
        return _wrap([('', item) for item in value], *ends, indent, column)
    return repr(value)


def _wrap(parts: list[tuple[str, object]], start: str, end: str, indent: int, column: int) -> str:
    line = start + ', '.join(name + render(item) for name, item in parts) + end
    if len(line) + column <= WIDTH and '\n' not in line:
        return line
    inner = ' ' * (indent + 4)
    rows = ''.join(f'{inner}{name}{render(item, indent + 4, indent + 4 + len(name))},\n' for name, item in parts)
    return f'{start}\n{rows}{" " * indent}{end.lstrip(",")}'
