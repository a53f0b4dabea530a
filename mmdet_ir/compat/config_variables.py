"""Lets variables of a config file have other values while the file, and the files that it inherits from, are read."""

import ast
import contextlib
import threading
from collections.abc import Iterator, Mapping

from mmengine.config import config as reader

_READING = threading.RLock()


@contextlib.contextmanager
def variables_set(settings: Mapping[str, object]) -> Iterator[None]:
    """Within it, ``Config.fromfile`` sets a variable right after each line of a file that assigns it.

    So whatever a file computes from the variable is computed from the new value, as if the files said so. (MMEngine
    rewrites the syntax tree of each file that it reads; here the two classes that do so add an assignment.)

    Args:
        settings: Variables and their values. ``tone_mapping.method`` sets an entry of a dict, ``pipeline.2.scale`` one
            of a dict in a list.
    """
    added: dict[str, list[str]] = {}
    for key, value in settings.items():
        name, *path = key.split('.')
        target = name + ''.join(f'[{part}]' if part.lstrip('-').isdigit() else f'[{part!r}]' for part in path)
        added.setdefault(name, []).append(f'{target} = {value!r}')

    def setting(base: type) -> type:
        class Setting(base):
            def visit_Module(self, node: ast.Module) -> ast.Module:
                node = self.generic_visit(node)
                body = []
                for statement in node.body:
                    body.append(statement)
                    for name in _assigned(statement):
                        body += ast.parse('\n'.join(added.get(name, ()))).body
                node.body = body
                return ast.fix_missing_locations(node)

        return Setting

    with _READING:
        stock = reader.RemoveAssignFromAST, reader.ImportTransformer
        reader.RemoveAssignFromAST, reader.ImportTransformer = map(setting, stock)
        try:
            yield
        finally:
            reader.RemoveAssignFromAST, reader.ImportTransformer = stock


def _assigned(statement: ast.stmt) -> list[str]:
    """Names that a statement of a module assigns; those of its parts too, as in ``with`` or ``if``."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return []
    names = [node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    return list(dict.fromkeys(names))
