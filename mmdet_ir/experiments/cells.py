"""The paper's tables as data: which config fills which cell, and how a cell is run at another size."""

import ast
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config
from mmengine.fileio import load

CELLS = Path(__file__).with_name('cells.yaml')


@dataclass(frozen=True)
class TableRow:
    """A cell: one config.

    Attributes:
        name: As in ``paper_results.yaml`` where the paper has the row.
        title: In rendered tables.
        config: File, relative to the repository.
    """

    name: str
    title: str
    config: str


@dataclass(frozen=True)
class Table:
    """A table, or the sweep behind a figure.

    Attributes:
        name: As on the command line of ``tools/reproduce.py``.
        title: In rendered tables.
        paper: Key in ``paper_results.yaml``; ``None`` for what the paper does not have.
        rows: From top to bottom, the baseline first.
    """

    name: str
    title: str
    paper: str | None
    rows: tuple[TableRow, ...]


@dataclass(frozen=True)
class SizeData:
    """A data set at a size.

    Attributes:
        size: Name of the size.
        name: Name of the data set.
        title: In rendered tables.
        bases: Config that a cell inherits from, by the one that takes its place; ``None`` to take cells as they are.
        without: Tables that are not run on it.
        first: Config that has to be trained before any cell, or ``None``.
        amp: Whether cells are trained in mixed precision.
        starts: Weights by the config whose training made them: a cell with the neck of that config starts from them,
            others from the ``load_from`` of their base.
        folder: Of a user's own data set, whose classes, images and window every cell takes; ``None``: the cells' own.
    """

    size: str
    name: str
    title: str
    bases: Mapping[str, str] | None
    without: tuple[str, ...]
    first: str | None
    amp: bool
    starts: Mapping[str, str] = field(default_factory=dict)
    folder: str | None = None

    @property
    def option(self) -> str:
        """What ``--data`` of ``tools/reproduce.py`` calls it."""
        return self.name if self.folder is None else f'{self.name}={self.folder}'


def load_tables() -> dict[str, Table]:
    """All tables by name."""
    content = load(CELLS)['tables']
    return {
        name: Table(
            name, table['title'], table.get('paper'), tuple(TableRow(r, **row) for r, row in table['rows'].items())
        )
        for name, table in content.items()
    }


def load_sizes() -> dict[str, dict[str, SizeData]]:
    """All data sets by size and name."""
    return {
        size: {
            name: SizeData(
                size,
                name,
                data['title'],
                data['bases'] or None,
                tuple(data.get('without', ())),
                entry.get('first'),
                entry['amp'],
                entry.get('starts', {}),
            )
            for name, data in entry['data'].items()
        }
        for size, entry in load(CELLS)['sizes'].items()
    }


def load_figures() -> dict[str, list[TableRow]]:
    """The cells that each figure is drawn from: ``table`` or ``table/row`` in the file."""
    tables, figures = load_tables(), {}
    for figure, entry in load(CELLS)['figures'].items():
        figures[figure] = []
        for place in entry['rows']:
            table, _, name = place.partition('/')
            figures[figure] += [row for row in tables[table].rows if name in ('', row.name)]
    return figures


def chain(config: str | os.PathLike, bases: Mapping[str, str]) -> tuple[list[Path], str] | None:
    """The files from a config down to the first that has a substitute, and that substitute.

    Args:
        config: File name, relative to the current folder, as the keys of ``bases``.
        bases: File by the file that takes its place.

    Returns:
        ``(files, substitute)``, the config first; ``None`` if it does not inherit from any key of ``bases``.
    """
    files, path = [], Path(os.path.normpath(config))
    while path.as_posix() not in bases:
        base = _base_statement(path)
        parents = ast.literal_eval(base.value) if base is not None else None
        if not isinstance(parents, str):  # several bases, or none: nothing on the way down was named
            return None
        files.append(path)
        path = Path(os.path.normpath(path.parent / parents))
    return files, bases[path.as_posix()]


def rebased_config(config: str | os.PathLike, bases: Mapping[str, str]) -> Config:
    """A config whose base is exchanged: its own settings, on top of another file.

    Each file between the config and its named base is read again on top of what the substitute gives, exactly as
    inheritance would, so that a cell needs no second copy for another size.

    Args:
        config: File name, relative to the current folder.
        bases: File by the file that takes its place.

    Raises:
        ValueError: If the config does not inherit from any key of ``bases``.
    """
    found = chain(config, bases)
    if found is None:
        raise ValueError(f'{config}: expected a config that inherits from one of {", ".join(bases)}')
    files, base = found[0], os.path.abspath(found[1])
    if not files:
        return Config.fromfile(base)
    with tempfile.TemporaryDirectory() as folder:
        for number, path in enumerate(reversed(files)):
            statement = _base_statement(path)
            lines = path.read_text(encoding='utf-8').splitlines(keepends=True)
            lines[statement.lineno - 1 : statement.end_lineno] = [f'_base_ = {base!r}\n']
            base = str(Path(folder, f'{number}_{path.name}'))
            Path(base).write_text(''.join(lines), encoding='utf-8')
        return Config.fromfile(base)


def _base_statement(path: Path) -> ast.Assign | None:
    for statement in ast.parse(path.read_text(encoding='utf-8'), str(path)).body:
        if isinstance(statement, ast.Assign) and [getattr(t, 'id', None) for t in statement.targets] == ['_base_']:
            return statement
    return None
