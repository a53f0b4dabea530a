"""What may stand in a dict of a config: the arguments of the class that its ``type`` names, or those of its place."""

import inspect
from collections.abc import Mapping, Sequence

import mmengine.registry
from mmengine.registry import Registry
from torch.utils.data import DataLoader

# Dicts without a type, by their place. (The last key counts, where the place has several.)
_LOADER = frozenset(inspect.signature(DataLoader.__init__).parameters) - {'self'} | {'num_batch_per_epoch'}
PLACES: dict[str, frozenset[str]] = {
    'randomness': frozenset({'seed', 'diff_rank_seed', 'deterministic'}),
    'env_cfg': frozenset({'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'}),
    'env_cfg.mp_cfg': frozenset({'mp_start_method', 'opencv_num_threads'}),
    'auto_scale_lr': frozenset({'enable', 'base_batch_size'}),
    'tta_views': frozenset({'flips', 'scales'}),
    'train_dataloader': _LOADER,
    'val_dataloader': _LOADER,
    'test_dataloader': _LOADER,
}
# Entries that a builder takes out of a dict before it makes the object.
_TAKEN = {
    'hooks': frozenset({'priority'}),
    'optim_wrapper': frozenset({'constructor', 'paramwise_cfg', 'optimizer'}),
    'param_scheduler': frozenset({'convert_to_iter_based'}),
}


def keys_of(place: Sequence[str], entry: Mapping) -> tuple[frozenset[str], bool]:
    """Names that a dict of a config may hold, as far as is known.

    Args:
        place: Keys that lead to the dict.
        entry: The dict.

    Returns:
        The names, and whether there can be no others.
    """
    dotted = '.'.join(place)
    if 'type' not in entry:
        return PLACES.get(dotted, frozenset()), dotted in PLACES
    kinds = _classes_of(entry['type'])
    if not kinds:
        return frozenset(), False
    found = [_arguments(kind) for kind in kinds]
    names, closed = frozenset().union(*(part for part, _ in found)), all(end for _, end in found)
    for part, taken in _TAKEN.items():
        if any(part in key for key in place):
            names |= taken
    return names | {'init_cfg', 'data_preprocessor'} if place[0] == 'model' else names, closed and place[0] != 'model'


def _classes_of(kind: object) -> list[type]:
    """Classes that a ``type`` may mean: packages register some names each."""
    if not isinstance(kind, str):
        return [kind] if isinstance(kind, type) else []
    roots = {value for value in vars(mmengine.registry).values() if isinstance(value, Registry)}
    registries = [registry for root in roots for registry in (root, *root.children.values())]
    found = [registry.module_dict.get(kind.rsplit('.', 1)[-1]) for registry in registries]
    return [entry for entry in dict.fromkeys(found) if isinstance(entry, type)]


def _arguments(kind: type) -> tuple[frozenset[str], bool]:
    """Names of the arguments of a class, through ``**kwargs`` up its bases; and whether there are no others."""
    names: set[str] = set()
    for base in kind.__mro__:
        if '__init__' not in vars(base) or base is object:
            continue
        parameters = inspect.signature(base.__init__).parameters.values()
        names |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)} - {'self'}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return frozenset(names), True
    return frozenset(names), False
