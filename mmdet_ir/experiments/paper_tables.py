"""The paper's tables filled with recorded runs: mean and deviation over seeds, gains, and the paper's numbers."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from mmengine.fileio import load

from ..evaluation.rows import COLUMNS
from .cells import SizeData, Table
from .gains import Gain, seed_gain

PAPER_RESULTS = Path(__file__).with_name('paper_results.yaml')
SIZES = ('study', 'cpu', 'scratch', 'paper')
PARAMS = 'Params (M)'
STUDY_TABLE = 'parts'
# Columns here -> columns of paper_results.yaml.
_PAPER_COLUMNS = {column: column for column in COLUMNS} | {'Recall': 'recall', PARAMS: 'params'}
_NEEDED = (
    'data_name',
    'data_title',
    'config',
    'cell_sha256',
    'config_overrides',
    'seed',
    'commit',
    'dirty',
    'hardware',
    'precision',
    'data',
    'training',
    'parameters',
    'tested_images',
    'metrics',
)
SEED = 'randomness.seed'

Runs = dict[tuple[str, str], dict[str, list[dict]]]  # (size, data name) -> config -> records by seed


@dataclass(frozen=True)
class Summary:
    """One number over seeds, in the paper's unit: percent, recall as a fraction, millions of parameters.

    Attributes:
        mean: Arithmetic mean.
        std: Sample standard deviation (n - 1); ``None`` for a single run, and for parameters.
        n: Number of runs.
    """

    mean: float
    std: float | None
    n: int


@dataclass(frozen=True)
class FilledRow:
    """A row of a table.

    Attributes:
        name: Key of the row in ``cells.yaml``.
        title: As printed.
        config: Config file of the cell.
        runs: Records of its runs, one for each seed; empty if it was not run.
        scores: Summary by column; a column without a target of its size is missing.
        paper: The paper's value by column, in the same unit; empty where it prints none.
    """

    name: str
    title: str
    config: str
    runs: Sequence[dict]
    scores: Mapping[str, Summary]
    paper: Mapping[str, float]


@dataclass(frozen=True)
class FilledTable:
    """A table for one size of the models and one data set.

    Attributes:
        name: Key of the table in ``cells.yaml``.
        title: As printed.
        size: one of ``SIZES``.
        data: Name of the data.
        columns: What it shows.
        rows: The first one is the baseline that gains refer to.
        paper_best: Name of the row that the paper calls best where it prints no numbers.
    """

    name: str
    title: str
    size: str
    data: str
    columns: Sequence[str]
    rows: Sequence[FilledRow]
    paper_best: str | None = None

    @cached_property
    def runs(self) -> list[dict]:
        return [run for row in self.rows for run in row.runs]

    @property
    def in_paper(self) -> bool:
        """Whether the paper prints numbers for any row."""
        return any(row.paper for row in self.rows)

    def best(self, column: str) -> float | None:
        """Highest mean of a column; ``None`` where fewer than two rows have one, or none is better (parameters)."""
        means = [row.scores[column].mean for row in self.rows if column in row.scores]
        return max(means) if len(means) > 1 and column != PARAMS else None

    def gain(self, row: FilledRow, column: str) -> Gain | None:
        """What the row gains over the first one, see :func:`seed_gain`; nothing for the first, or without runs."""
        before, after = (_seed_scores(r.runs, column) for r in (self.rows[0], row))
        if row is self.rows[0] or not before or not after:
            return None
        gain = seed_gain(before, after)
        return replace(gain, error=None) if column == PARAMS else gain

    def paper_gain(self, row: FilledRow, column: str) -> float | None:
        """The same difference in the paper, rounded as the paper prints; ``None`` where it lacks either."""
        first, other = self.rows[0].paper.get(column), row.paper.get(column)
        if row is self.rows[0] or first is None or other is None:
            return None
        return round(other - first, 3)


def study_runs(records: Iterable[dict]) -> Runs:
    """Sorts the records that have a ``size`` into cells, and refuses those that must not be averaged.

    Raises:
        ValueError: If a record lacks an entry or was not measured, if two runs of a cell have the same seed, or if
            they differ in settings other than the seed, in data, in the weights that they started from, or in the
            number of tested images.
    """
    cells: Runs = {}
    for record in records:
        if 'size' not in record:
            continue
        _check_entries(record)
        of_data = cells.setdefault((record['size'], record['data_name']), {})
        of_data.setdefault(Path(record['config']).as_posix(), []).append(record)
    for of_data in cells.values():
        for runs in of_data.values():
            runs.sort(key=lambda run: run['seed'])
            for before, run in zip(runs, runs[1:], strict=False):
                if before['seed'] == run['seed']:
                    raise ValueError(
                        f'{_file(run)}: expected another seed than that of {_file(before)}, got {run["seed"]} in both '
                        f'for {run["config"]} ({run["size"]}, {run["data_name"]})'
                    )
                _check_same(before, run)
    return cells


def _file(record: dict) -> str:
    return record.get('file') or f'record of {record.get("config")}, seed {record.get("seed")}'


def _check_entries(record: dict) -> None:
    if record['size'] not in SIZES:
        raise ValueError(
            f"{_file(record)}: 'size': expected {', '.join(SIZES[:-1])} or {SIZES[-1]}, got {record['size']!r}"
        )
    if missing := [key for key in _NEEDED if key not in record]:
        raise ValueError(f'{_file(record)}: expected {", ".join(map(repr, missing))} in the record of a run, got none')
    if record.get('provenance') != 'measured':
        raise ValueError(f"{_file(record)}: 'provenance': expected measured, got {record.get('provenance')!r}")
    scores = record['metrics'].get('segm', {}).get('all', {})
    if missing := [column for column in COLUMNS if column not in scores]:
        raise ValueError(f"{_file(record)}: 'metrics.segm.all': expected {', '.join(missing)}, got none")


def _check_same(first: dict, other: dict) -> None:
    aspects = {
        'settings': _settings,
        'training data': _training_data,
        'test data': _test_data,
        'initial weights': _initial_weights,
    }
    check_seeds(first, other, aspects, f'runs of {other["config"]} ({other["size"]}, {other["data_name"]})')


def check_seeds(first: dict, other: dict, aspects: Mapping[str, Callable[[dict], object]], what_both_are: str) -> None:
    """Refuses two records that are to be averaged, but differ in more than the seed.

    Args:
        first: A record.
        other: Another one.
        aspects: What they have to share, by its name in the message, and how it is read from a record.
        what_both_are: For the message.

    Raises:
        ValueError: If they differ; the message names both files.
    """
    for what, read in aspects.items():
        old, new = read(first), read(other)
        if old != new:
            raise ValueError(
                f'{_file(other)}: expected the {what} of {_file(first)}, as both are {what_both_are} and only the '
                f'seed may differ, got {new} instead of {old}'
            )


def _settings(run: dict) -> dict:
    """The cell's settings, and what the command line changed of them apart from the seed."""
    changed = {key: value for key, value in run['config_overrides'].items() if key != SEED}
    return {'cell_sha256': run['cell_sha256'], 'config_overrides': changed, 'parameters': run['parameters']}


def _training_data(run: dict) -> list[str]:
    return [part['sha256'] for part in run['data']['train']]


def _initial_weights(run: dict) -> str | None:
    return run.get('initial_weights')


def _test_data(run: dict) -> list[str | int]:
    return [*(part['sha256'] for part in run['data']['test']), run['tested_images']]


def fill_table(table: Table, runs: Runs, size: str, data: str) -> FilledTable:
    """Fills a table with the runs of one size on one data set.

    Args:
        table: Which config fills which row.
        runs: As :func:`study_runs` returns them.
        size: one of ``SIZES``.
        data: Name of the data.

    Raises:
        ValueError: If the rows were tested on different data, or the paper has no such table.
    """
    of_data = runs.get((size, data), {})
    printed, best = _paper_values(table)
    rows = []
    for row in table.rows:
        config = Path(row.config).as_posix()
        mine = of_data.get(config, [])
        rows.append(FilledRow(row.name, row.title, config, mine, _summaries(mine), printed.get(row.name, {})))
    columns = [*COLUMNS, PARAMS] if any(PARAMS in row.paper for row in rows) else [*COLUMNS]
    filled = FilledTable(table.name, table.title, size, data, columns, rows, best)
    for run in filled.runs[1:]:
        first = filled.runs[0]
        if _test_data(run) != _test_data(first):
            raise ValueError(
                f'{_file(run)}: expected the test data of {_file(first)}, as both stand in {table.name} '
                f'({size}, {data}), got {_test_data(run)} instead of {_test_data(first)}'
            )
    return filled


def _paper_values(table: Table) -> tuple[dict[str, dict[str, float]], str | None]:
    """The paper's numbers by row and column, and the row that it calls best without printing numbers."""
    if table.paper is None:
        return {}, None
    results = load(PAPER_RESULTS)
    if table.paper not in results:
        raise ValueError(f"table {table.name}: 'paper': expected an entry of {PAPER_RESULTS.name}, got {table.paper}")
    printed = {
        name: dict(zip(results['columns'], values, strict=False))
        for name, values in results[table.paper].items()
        if isinstance(values, list)
    }
    values = {
        name: {column: row[key] for column, key in _PAPER_COLUMNS.items() if key in row}
        for name, row in printed.items()
    }
    best = results[table.paper].get('best')
    return values, None if best is None else str(best)


def _seed_scores(runs: Sequence[dict], column: str) -> list[tuple[int, float]]:
    return [(run['seed'], value) for run in runs if (value := _score(run, column)) is not None]


def _summaries(runs: Sequence[dict]) -> dict[str, Summary]:
    summaries = {}
    for column in (*COLUMNS, PARAMS):
        values = [value for run in runs if (value := _score(run, column)) is not None]
        if values:
            std = statistics.stdev(values) if len(values) > 1 and column != PARAMS else None
            summaries[column] = Summary(statistics.fmean(values), std, len(values))
    return summaries


def _score(run: dict, column: str) -> float | None:
    if column == PARAMS:
        return run['parameters'] / 1e6
    value = run['metrics']['segm']['all'][column]
    return value if value is None or column == 'Recall' else 100 * value


def fill_tables(
    tables: Iterable[Table], runs: Runs, sizes: Mapping[str, Mapping[str, SizeData]] | None = None
) -> list[FilledTable]:
    """All tables that have a run, by size, data and the order of ``tables``.

    Args:
        tables: Which config fills which row.
        runs: As :func:`study_runs` returns them.
        sizes: Data sets by size and name; a table that is not run on one of them is left out, though other tables
            share cells with it.
    """
    tables, filled = list(tables), []
    for size, data in sorted(runs, key=lambda key: (SIZES.index(key[0]), key[1])):
        known = (sizes or {}).get(size, {}).get(data)
        without = known.without if known is not None else ()
        filled += [fill_table(table, runs, size, data) for table in tables if table.name not in without]
    return [table for table in filled if table.runs]


def paper_gain_by_config(tables: Iterable[Table]) -> dict[str, float]:
    """The paper's gain in mAP over the first row, by config; where several tables have one, the first counts."""
    gains: dict[str, float] = {}
    for table in tables:
        filled = fill_table(table, {}, 'paper', '')
        for row in filled.rows[1:]:
            gain = filled.paper_gain(row, 'mAP')
            if gain is not None:
                gains.setdefault(row.config, gain)
    return gains


def describe_runs(table: FilledTable) -> str:
    """What the runs of a table were trained and tested on, by what and how long; a few plain sentences."""
    runs = table.runs
    train = _names(f'{part["ann_file"]} ({part["images"]} images)' for run in runs for part in run['data']['train'])
    test = _names(
        f'{part["ann_file"]} ({run["tested_images"]} images)' for run in runs for part in run['data']['test']
    )
    steps = _names(
        f'{run["training"]["iterations"]} iterations of {run["training"]["batch_size"]} images' for run in runs
    )
    seeds = sorted({run['seed'] for run in runs})
    hours = sum(run['training']['wall_time_seconds'] for run in runs) / 3600
    return (
        f'{_names(run["data_title"] for run in runs)}: trained on {train}, tested on {test}. '
        f'{_count(len(runs), "run")}, {"seeds" if len(seeds) > 1 else "seed"} {", ".join(map(str, seeds))}; {steps}; '
        f'{_names(run["precision"] for run in runs)}; {_names(_hardware(run) for run in runs)}; training took '
        f'{hours:.1f} h in all; commit {_names(map(_commit, runs))}.'
    )


def _count(number: int, noun: str) -> str:
    return f'{number} {noun}' + ('' if number == 1 else 's')


def _names(values: Iterable[str]) -> str:
    """The different ones, in the order of their first appearance."""
    return ' and '.join(dict.fromkeys(values))


def _hardware(run: dict) -> str:
    hardware = run['hardware']
    if gpus := hardware['gpus']:
        return ' and '.join(f'{gpus.count(name)} x {name}' for name in dict.fromkeys(gpus))
    return f'{hardware["cpu"]}, {_count(hardware["cores"], "core")}'


def _commit(run: dict) -> str:
    name = (run['commit'] or 'unknown')[:7]
    return f'{name} with uncommitted changes' if run['dirty'] else name


def unlike_rows(table: FilledTable) -> list[str]:
    """Warnings where rows of a table differ in more than the part that it compares.

    Within a row the runs are alike, see :func:`study_runs`.
    """
    aspects = {
        'training data': _training_data,
        'initial weights': _initial_weights,
        'number of iterations': lambda run: run['training']['iterations'],
        'batch size': lambda run: run['training']['batch_size'],
        'precision': lambda run: run['precision'],
        'hardware': _hardware,
    }
    warnings = []
    for what, read in aspects.items():
        groups: dict[str, list[str]] = {}
        for row in table.rows:
            for value in dict.fromkeys(str(read(run)) for run in row.runs):
                groups.setdefault(value, []).append(row.title)
        if len(groups) > 1:
            parts = [', '.join(titles) for titles in groups.values()]
            warnings.append(f'{what} not the same in all rows: {" against ".join(parts)}.')
    return warnings
