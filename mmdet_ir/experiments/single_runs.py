"""Runs of one's own, which fill no cell of the paper's tables: a table for each data set, means over seeds."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from .comparison import as_csv, as_latex, as_markdown, compare
from .tables import single_groups, update_file

_RENDERERS = {'.tex': as_latex, '.csv': as_csv}


def by_data(records: Sequence[dict]) -> dict[str, list]:
    """Lines of a table by the title of the data, see :func:`mmdet_ir.experiments.comparison.compare`.

    Raises:
        ValueError: If runs of one title and data are of the same seed, or were tested on different data.
    """
    data: dict[str, dict[str, list[dict]]] = {}
    for runs in single_groups(records):
        models, title = data.setdefault(runs[0]['data_title'], {}), runs[0]['title']
        config = Path(runs[0].get('config') or '')
        # another config of the same title has its name beside it, or its path
        names = (title, f'{title} ({config.stem})', f'{title} ({config.as_posix()})')
        models[next(name for name in names if name not in models)] = runs
    return {title: compare(models) for title, models in data.items()}


def render(records: Sequence[dict]) -> str:
    """All tables as Markdown, under headings."""
    return '\n\n'.join(f'## {title}\n\n{as_markdown(lines)}' for title, lines in by_data(records).items())


def table_files(records: Sequence[dict], folder: str | os.PathLike) -> dict[Path, str]:
    """Text of ``runs_DATA.tex`` and ``.csv`` for each data set, by file."""
    texts = {}
    for title, lines in by_data(records).items():
        name = re.sub(r'\W+', '_', title.casefold()).strip('_') or 'data'
        for suffix, renderer in _RENDERERS.items():
            path = Path(folder, f'runs_{name}{suffix}')
            if path in texts:
                raise ValueError(f'{path}: expected data titles that give different names of files, got {title!r}')
            texts[path] = renderer(lines)
    return texts


def update(records: Sequence[dict], folder: str | os.PathLike, check: bool = False) -> list[Path]:
    """Write the files of tables.

    Args:
        records: As ``load_records`` returns them.
        folder: Where the files go.
        check: Only compare; write nothing.

    Returns:
        The files that were out of date or missing.
    """
    texts = table_files(records, folder)
    return [path for file, text in texts.items() for path in update_file(file, text, check)]
