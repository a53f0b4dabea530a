"""Writes a config in mmengine's pure Python style, where types are classes and not names."""

import mmengine.registry
from mmengine.config import Config
from mmengine.registry import Registry


def class_of(name: str) -> type | None:
    """A slow reference: the class that a registered name gives in MMDetection's scope."""
    roots = [value for value in vars(mmengine.registry).values() if isinstance(value, Registry)]
    for order in ([r.children['mmdet'] for r in roots if 'mmdet' in r.children], roots):
        for registry in order:
            registry.import_from_location()
            if name in registry.module_dict:
                return registry.module_dict[name]
    return None


def pure_python(config: str) -> str:
    """A config of text style, written anew with each class by its import."""
    imports: dict[str, str] = {}

    def written(value: object) -> str:
        if isinstance(value, dict):
            parts = []
            for key, part in value.items():
                kind = class_of(part) if key == 'type' and isinstance(part, str) else None
                if isinstance(kind, type):
                    imports[kind.__name__] = kind.__module__
                parts.append(f'{key!r}: {kind.__name__ if isinstance(kind, type) else written(part)}')
            return f'{{{", ".join(parts)}}}'
        if isinstance(value, list | tuple):
            inner = ''.join(f'{written(part)}, ' for part in value)
            return f'[{inner}]' if isinstance(value, list) else f'({inner})'
        return repr(value)

    content = Config.fromfile(config).to_dict()
    lines = [f'{key} = {written(value)}' for key, value in content.items() if key != 'custom_imports']
    return '\n'.join([*(f'from {module} import {name}' for name, module in sorted(imports.items())), *lines])
