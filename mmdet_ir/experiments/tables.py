"""Result tables rendered from records and from the numbers printed in the paper, and the files that hold them."""

import json
import os
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from mmengine.fileio import load

from ..evaluation.coco_eval import MAX_DETS
from ..evaluation.rows import COLUMNS, format_value
from ..fileio import write_text
from ..markdown import markdown_table
from .cells import Table, load_sizes, load_tables
from .paper_tables import (
    PAPER_RESULTS,
    SEED,
    FilledTable,
    check_seeds,
    fill_tables,
    paper_gain_by_config,
    study_runs,
)
from .table_formats import render_all_markdown, render_csv, render_latex, render_study

BEGIN, END = '<!-- results:begin -->', '<!-- results:end -->'
STUDY_BEGIN, STUDY_END = '<!-- study:begin -->', '<!-- study:end -->'
TABLES_BEGIN, TABLES_END = '<!-- tables:begin -->', '<!-- tables:end -->'
_PAPER_TITLES = {'mask_rcnn': 'Mask R-CNN', 'ours': 'Mask R-CNN + BNSA + Focal-SIoU + MBCE-Dice-LS'}
_RENDERERS = {'.tex': render_latex, '.csv': render_csv}


def load_records(folder: str | os.PathLike) -> list[dict]:
    """Records of runs in a folder and all below it (``*.json`` with ``"kind": "run"``), ordered by data, then model.

    Returns:
        The records, each with its path as ``file``.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If a file is no JSON, or a record lacks its titles.

    Example:
        >>> from mmdet_ir.experiments import load_records
        >>> load_records('images')  # no record in there
        []
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError(f'{folder}: expected a folder of records, found none')
    records = []
    for path in sorted(Path(folder).rglob('*.json')):
        try:
            content = json.loads(path.read_text(encoding='utf-8'))
        except ValueError as error:
            raise ValueError(f'{path}: expected JSON, got something else: {error}') from error
        if not isinstance(content, dict) or content.get('kind') != 'run':
            continue
        if missing := [key for key in ('title', 'data_title') if key not in content]:
            raise ValueError(f'{path}: expected {", ".join(map(repr, missing))} in the record of a run, got none')
        records.append(content | {'file': path.as_posix()})
    return sorted(records, key=lambda record: (record['data_title'], record['title']))


def paper_records(models: Sequence[str] = ('mask_rcnn', 'ours')) -> list[dict]:
    """Rows of the paper's Table 4 in the form of records, marked as quoted.

    Raises:
        ValueError: If the paper has no such model.

    Example:
        >>> from mmdet_ir.experiments import paper_records
        >>> [record['title'] for record in paper_records(['mask_rcnn'])]
        ['Mask R-CNN']
    """
    paper = load(PAPER_RESULTS)
    unknown = [model for model in models if model not in paper['table4_models']]
    if unknown:
        raise ValueError(
            f'--paper: expected models out of {", ".join(paper["table4_models"])}, got {", ".join(unknown)}'
        )
    records = []
    for model in models:
        values = dict(zip(paper['columns'], paper['table4_models'][model], strict=True))
        row = {column: values[column] / 100 for column in COLUMNS if column != 'Recall'}
        records.append(
            {
                'kind': 'run',
                'provenance': 'quoted',
                'title': _PAPER_TITLES.get(model, model),
                'data_title': "the paper's own",
                'parameters': values['params'] * 1e6,
                'metrics': {'segm': {'all': row | {'Recall': values['recall']}}},
            }
        )
    return records


_OF_A_SEED = (SEED, 'load_from')
_OF_NO_SCORE = (
    *(
        'default_hooks.logger',
        'default_hooks.visualization',
        'visualizer',
        'vis_backends',
        'log_',
        'env_cfg',
        'work_dir',
    ),
    *(
        f'{part}_dataloader.{key}'
        for part in ('train', 'val', 'test')
        for key in ('num_workers', 'persistent_workers', 'pin_memory', 'prefetch_factor')
    ),
)


def _fingerprints(part: str) -> Callable[[dict], list]:
    return lambda record: [entry.get('sha256') for entry in (record.get('data') or {}).get(part) or ()]


def _settings(record: dict) -> dict:
    changed = record.get('config_overrides') or {}
    return {key: value for key, value in changed.items() if not key.startswith(_OF_NO_SCORE) and key not in _OF_A_SEED}


# What the seeds of one experiment share, as far as their records tell. (Not the starting weights, as a recipe of
# several trainings has those of its seed, nor the steps, as early stopping has its own for each.)
_ASPECTS: dict[str, Callable[[dict], object]] = {
    'settings': _settings,
    'number of parameters': lambda record: record.get('parameters'),
    'batch size': lambda record: (record.get('training') or {}).get('batch_size'),
    'training data': _fingerprints('train'),
    'test data': _fingerprints('test'),
    'number of tested images': lambda record: record.get('tested_images'),
    'number of detections that count': lambda record: record.get('max_dets', MAX_DETS),
}


def single_groups(records: Iterable[dict]) -> list[list[dict]]:
    """Records without a ``size``, the seeds of one experiment (title, data and config) together.

    Raises:
        ValueError: If two records of an experiment are of the same seed, or differ in more than the seed, or if one
            has no scores of masks.
    """
    groups: dict[tuple, list[dict]] = {}
    for record in records:
        if 'size' not in record:
            scores = record.get('metrics') or {}
            if 'all' not in (scores.get('segm') or {}):
                raise ValueError(
                    f'{record.get("file", "?")}: expected scores of masks (metrics.segm.all), got {sorted(scores)}'
                )
            key = (record['data_title'], record['title'], record.get('config'))
            groups.setdefault(key, []).append(record)
    for (data, title, _), runs in groups.items():
        for run in runs[1:]:
            check_seeds(runs[0], run, _ASPECTS, f'called {title!r}')
        seen: dict[object, dict] = {}
        for run in runs:
            known = seen.setdefault(run['seed'], run) if run.get('seed') is not None else run
            if known is not run:
                files = ' and '.join(str(r.get('file', '?')) for r in (known, run))
                raise ValueError(
                    f'{title}, {data}: expected a record for each seed, got the seed {run["seed"]} in {files}; keep '
                    f'one of them, or give them different titles'
                )
    return list(groups.values())


def render_table(records: Iterable[dict]) -> str:
    """Markdown table of the masks' scores in the paper's columns; each row says where its numbers come from.

    Records of one title, data and config are seeds of one experiment: a row has their means and deviations.

    Example:
        >>> from mmdet_ir.experiments import paper_records, render_table
        >>> print(render_table(paper_records(['mask_rcnn'])).splitlines()[0][:22])
        | Model | Data | mAP |
    """
    header = ['Model', 'Data', *COLUMNS, 'Params (M)', 'Source']
    lines = []
    for runs in single_groups(records):
        record, rows = runs[0], [run['metrics']['segm']['all'] for run in runs]
        cells = [record['title'], record['data_title'], *(_over_seeds(c, [row[c] for row in rows]) for c in COLUMNS)]
        cells += [f'{record["parameters"] / 1e6:.3f}', _source(record)]
        cells[-1] += f', mean of {len(runs)} seeds' if len(runs) > 1 else ''
        lines.append(cells)
    return markdown_table(header, lines, 'll' + 'r' * (len(COLUMNS) + 1) + 'l')


def _over_seeds(column: str, values: Sequence[float | None]) -> str:
    """Mean and sample deviation; nothing where one of the runs has no such targets."""
    if len(values) == 1 or None in values:
        return format_value(column, None if None in values else values[0])
    mean, deviation = statistics.fmean(values), statistics.stdev(values)
    return f'{format_value(column, mean)} ± {format_value(column, deviation)}'


def _source(record: dict) -> str:
    if record['provenance'] == 'quoted':
        return 'quoted from the paper'
    if record['provenance'] != 'measured':
        raise ValueError(f"{record['title']}: 'provenance': expected measured or quoted, got {record['provenance']!r}")
    name = record['config'].removeprefix('configs/').removesuffix('.py')
    return f'measured here, `{name}`'


def update_tables(
    folder: str | os.PathLike,
    files: Sequence[str | os.PathLike],
    check: bool = False,
    tables: Sequence[Table] | None = None,
    paper: Sequence[str] = (),
) -> list[Path]:
    """Replaces the text between the marks in Markdown files such as the README by tables of the records.

    Between ``<!-- results:begin -->`` and ``<!-- results:end -->`` stand the single runs, which are the records
    without a ``size``. A file may also have ``<!-- study:begin -->`` and ``<!-- study:end -->``, for what each part
    gains.

    Args:
        folder: Folder of records.
        files: Markdown files with one pair of the first marks and at most one of the second.
        check: Only compare; write nothing.
        tables: Which config fills which cell (default: the project's).
        paper: Models of the paper whose rows stand below, see :func:`paper_records`.

    Returns:
        The files that were out of date.

    Example:
        >>> from pathlib import Path
        >>> from mmdet_ir.experiments import update_tables
        >>> written = Path('page.md').write_text('<!-- results:begin --><!-- results:end -->')
        >>> Path('no_records').mkdir()
        >>> [path.name for path in update_tables('no_records', ['page.md'])]
        ['page.md']
    """
    records = load_records(folder)
    single = render_table([*records, *(paper_records(paper) if paper else ())])
    stale = []
    for path in map(Path, files):
        text = path.read_text(encoding='utf-8')
        updated = replace_between(path, text, BEGIN, END, single)
        if STUDY_BEGIN in text or STUDY_END in text:
            tables = list(load_tables().values()) if tables is None else tables
            filled = fill_tables(tables, study_runs(records), load_sizes())
            study = render_study(filled, paper_gain_by_config(tables))
            updated = replace_between(path, updated, STUDY_BEGIN, STUDY_END, study)
        stale += update_file(path, updated, check)
    return stale


def update_docs(
    tables: Sequence[FilledTable], path: str | os.PathLike, check: bool = False, instead: str = ''
) -> list[Path]:
    """Replaces the text between ``<!-- tables:begin -->`` and ``<!-- tables:end -->`` by all filled tables.

    Args:
        tables: As :func:`load_filled` returns them.
        path: Markdown file with one pair of these marks.
        check: Only compare; write nothing.
        instead: Text in place of the tables.

    Returns:
        The file if it was out of date.
    """
    text = Path(path).read_text(encoding='utf-8')
    return update_file(
        Path(path),
        replace_between(path, text, TABLES_BEGIN, TABLES_END, instead or render_all_markdown(tables)),
        check,
    )


def update_table_files(tables: Sequence[FilledTable], folder: str | os.PathLike, check: bool = False) -> list[Path]:
    """Writes each filled table as ``TABLE_SIZE_DATA.tex`` and ``.csv``.

    Args:
        tables: As :func:`load_filled` returns them.
        folder: Where they go; it should hold nothing else.
        check: Only compare; write nothing.

    Returns:
        The files that were out of date or missing.
    """
    return [
        path
        for table in tables
        for suffix, render in _RENDERERS.items()
        for path in update_file(_table_file(table, folder, suffix), render(table), check)
    ]


def leftover_files(tables: Sequence[FilledTable], folder: str | os.PathLike) -> list[Path]:
    """LaTeX and CSV files of a folder that :func:`update_table_files` would not write."""
    wanted = {_table_file(table, folder, suffix) for table in tables for suffix in _RENDERERS}
    return [path for path in sorted(Path(folder).glob('*')) if path.suffix in _RENDERERS and path not in wanted]


def _table_file(table: FilledTable, folder: str | os.PathLike, suffix: str) -> Path:
    return Path(folder, f'{table.name}_{table.size}_{table.data}{suffix}')


def load_filled(folder: str | os.PathLike, tables: Iterable[Table] | None = None) -> list[FilledTable]:
    """All tables that have a run among the records of a folder.

    Args:
        folder: Folder of records.
        tables: Which config fills which cell (default: the project's).
    """
    tables = load_tables().values() if tables is None else tables
    return fill_tables(tables, study_runs(load_records(folder)), load_sizes())


def replace_between(path: str | os.PathLike, text: str, begin: str, end: str, content: str) -> str:
    """The text with ``content`` between two marks.

    Args:
        path: Where the text is from, for the message.
        text: Text with both marks.
        begin: First mark.
        end: Second mark.
        content: Replaces what is between them.

    Raises:
        ValueError: If the text has not exactly one of each mark, in this order.
    """
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(end) < text.index(begin):
        raise ValueError(f'{path}: expected one {begin} and, after it, one {end}')
    before, rest = text.split(begin)
    return f'{before}{begin}\n{content}\n{end}{rest.split(end)[1]}'


def update_file(path: Path, text: str, check: bool) -> list[Path]:
    """Write a file unless it has this text already, or only compare; returns the file if its text was another."""
    if path.is_file() and path.read_text(encoding='utf-8') == text:
        return []
    if not check:
        write_text(path, text)
    return [path]
