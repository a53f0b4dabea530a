"""Options that a command line sets over a config: they reach every place that they are meant for, or are refused.

MMEngine merges ``--cfg-options`` into a config that is read already. A variable of the file, such as ``data_root``,
has been used by then, so a new value changes nothing; a name that is misspelt makes an entry that nobody reads. Here
variables are set while the files are read, and what would change nothing is refused with the names that may have been
meant.
"""

import difflib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.runner import Runner

from ..compat.config_variables import variables_set
from .extra_hooks import NAMES as EXTRA_HOOKS
from .signatures import keys_of
from .types import with_type_names

# What is read besides the arguments of the runner: by mmengine, by tools of MMDetection and of this project.
READ = frozenset(inspect.signature(Runner.__init__).parameters) - {'self', 'cfg'} | {
    'activation_checkpointing',
    'cfg',
    'compile',
    'custom_imports',
    'detect_anomalous_params',
    'efficient_conv_bn_eval',
    *EXTRA_HOOKS,
    'find_unused_parameters',
    'model_wrapper_cfg',
    'runner_type',
    'strategy',
    'sync_bn',
    'tta_model',
    'tta_pipeline',
    'tta_views',
}
_MANY = 3  # places that a message names


def read_config(filename: str, options: Mapping[str, object] | None = None) -> Config:
    """Reads a config with options over it.

    Args:
        filename: The config file.
        options: Dotted keys and their values, as ``--cfg-options`` gives them.

    Raises:
        ValueError: For a file that cannot be read as a config, and for an option that would change nothing; the
            message names what may have been meant.
    """
    plain = _read(filename)
    variables = {key: value for key, value in (options or {}).items() if key.split('.')[0] not in READ}
    if not variables:
        return with_options(plain, options)
    for key in variables:
        if _value(plain, key.split('.')[0]) is None and key.split('.')[0] not in plain:
            raise _refusal(key, plain, 'has no such variable')
    try:
        with variables_set(variables):
            changed = with_type_names(Config.fromfile(filename))
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(
            f'--cfg-options {" ".join(variables)}: expected settings of variables of {filename}, got {error}'
        ) from error
    for key, value in variables.items():
        _require_effect(key, value, plain, changed, options)
    return with_options(changed, options)


def _read(filename: str) -> Config:
    try:
        return with_type_names(Config.fromfile(filename))
    except (SyntaxError, NameError, AttributeError, LookupError, TypeError, RuntimeError) as error:
        raise ValueError(f'{filename}: cannot be read as a config: {type(error).__name__}: {error}') from error


def with_options(cfg: Config, options: Mapping[str, object] | None) -> Config:
    """Merges options into a config that was read already, in place.

    Args:
        cfg: The config.
        options: Dotted keys and their values. Those of variables have to be in the config already.

    Raises:
        ValueError: For an option that would change nothing; the message names what may have been meant.
    """
    if not options:
        return cfg
    new = [prefix for key in options for prefix in _prefixes(key) if not _holds(cfg, prefix)]
    for key in options:
        if key.split('.')[0] not in READ and key in new:
            raise _refusal(key, cfg, 'has no such entry')
    try:
        cfg.merge_from_dict(dict(options))
    except (KeyError, TypeError, AttributeError, AssertionError) as error:
        raise ValueError(f'--cfg-options {" ".join(options)}: cannot be merged into {_name(cfg)}: {error}') from error
    for key in dict.fromkeys(new):
        _check_new(key, cfg, new)
    return cfg


def refuse_variables(cfg: Config, options: Mapping[str, object] | None) -> None:
    """Refuses options of variables of a config whose file is not at hand to be read anew.

    Raises:
        ValueError: For such an option.
    """
    for key in options or ():
        if key.split('.')[0] not in READ:
            raise _refusal(key, cfg, 'is read already, and its variables are used')


def _require_effect(key: str, value: object, plain: Config, changed: Config, options: Mapping[str, object]) -> None:
    variable = key.split('.')[0]
    old, new = _value(plain, key), _value(changed, key)
    if _same(old, value):
        return
    parts, before = ({k: v for k, v in cfg.to_dict().items() if k in READ} for cfg in (changed, plain))
    if parts == before or not _same(new, value):
        raise _refusal(key, plain, f'computes nothing that is used from {variable!r}')
    whole = _value(plain, variable)
    left = [
        path
        for path, leaf in _leaves(parts)
        if _is_copy(path, leaf, variable, whole) and not any(path == o or path.startswith(f'{o}.') for o in options)
    ]
    if left:
        raise ValueError(
            f'--cfg-options {key}={value}: {_name(plain)} writes the old value {whole!r} out at {_some(left)}, where '
            f'{variable!r} is not used; set {"this entry" if len(left) == 1 else "these entries"} as well'
        )


def _is_copy(path: str, leaf: object, variable: str, old: object) -> bool:
    if isinstance(old, str) and len(old) > 2:
        return isinstance(leaf, str) and leaf.startswith(old)
    same = _same(leaf, old)
    return same and (path.rsplit('.', 1)[-1] == variable or (isinstance(old, list | tuple | dict) and len(old) > 1))


def _same(one: object, other: object) -> bool:
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return list(one) == list(other)
    return type(one) is type(other) and one == other or (one == other and not isinstance(one, bool))


def _refusal(key: str, cfg: Config, why: str) -> ValueError:
    paths = [path for path, _ in _leaves({k: v for k, v in cfg.to_dict().items() if k in READ}, inner=True)]
    last = key.rsplit('.', 1)[-1]
    meant = [path for path in paths if path.rsplit('.', 1)[-1] == last]
    if not meant:
        names = {path.rsplit('.', 1)[-1] for path in paths} | {k for k in READ | set(cfg.keys()) if isinstance(k, str)}
        close = difflib.get_close_matches(last, sorted(names), 3, 0.7)
        meant = [
            path
            for name in close
            for path in [*([name] if name in READ or name in cfg else []), *paths]
            if path == name or path.rsplit('.', 1)[-1] == name
        ]
    value = _value(cfg, key)
    if not meant and isinstance(value, str | list | tuple | dict) and len(value) > 2:
        meant = [
            path for path, leaf in _leaves({k: v for k, v in cfg.to_dict().items() if k in READ}) if leaf == value
        ]
    hint = f'; did you mean {_some(dict.fromkeys(meant))}?' if meant else ''
    return ValueError(f'--cfg-options {key}: it would change nothing, because {_name(cfg)} {why}{hint}')


def _prefixes(key: str) -> list[str]:
    parts = key.split('.')
    return ['.'.join(parts[:end]) for end in range(1, len(parts) + 1)]


def _check_new(key: str, cfg: Config, new: Sequence[str]) -> None:
    """A new entry of a dict: something has to read it, as far as can be told."""
    *above, name = key.split('.')
    place = '.'.join(above)
    parent = _value(cfg, place)
    if not above or above[0] not in READ or not isinstance(parent, Mapping):
        return
    known, certain = keys_of(above, parent)
    if name in known or name in ('type', '_delete_', '_scope_'):
        return
    siblings = set(known) | {k for k in parent if isinstance(k, str) and f'{place}.{k}' not in new}
    close = difflib.get_close_matches(name, sorted(siblings), 1, 0.75)
    if close:
        raise ValueError(
            f'--cfg-options {key}: expected an entry of {place} that is read, got {name!r}; '
            f'did you mean {place}.{close[0]}?'
        )
    if certain:
        raise ValueError(f'--cfg-options {key}: expected an entry of {place}, one of {sorted(siblings)}, got {name!r}')
    print_log(f'--cfg-options {key}: the config has no such entry; it is added to {place}', 'current')


def _leaves(value: object, path: str = '', inner: bool = False) -> Iterator[tuple[str, object]]:
    """Dotted paths of all values; with ``inner`` those of dicts and lists as well."""
    items = (
        value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    )
    if path and (inner or not isinstance(value, Mapping)):
        yield path, value
    for key, part in items:
        yield from _leaves(part, f'{path}.{key}' if path else str(key), inner)


def _value(cfg: Mapping | Config, key: str) -> object:
    value = cfg
    for part in key.split('.'):
        if isinstance(value, list | tuple) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        elif isinstance(value, Mapping | Config) and part in value:
            value = value[part]
        else:
            return None
    return value


def _holds(cfg: Config, key: str) -> bool:
    *above, name = key.split('.')
    parent = _value(cfg, '.'.join(above)) if above else cfg
    if isinstance(parent, list | tuple):
        return name.isdigit() and int(name) < len(parent)
    return isinstance(parent, Mapping | Config) and name in parent


def _some(paths: object) -> str:
    paths = list(paths)
    more = f' and {len(paths) - _MANY} more' if len(paths) > _MANY else ''
    return ', '.join(paths[:_MANY]) + more


def _name(cfg: Config) -> str:
    return Path(cfg.filename).name if cfg.filename else 'the config'
