"""Any experiments side by side: mean and deviation over seeds, and the gain over the first with its standard error."""

import csv
import glob
import io
import json
import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..evaluation.coco_eval import MAX_DETS
from ..evaluation.rows import COLUMNS
from ..markdown import markdown_table
from .gains import Gain, seed_gain
from .table_formats import escape_latex, signed
from .tables import paper_records

_ALL = 'all'


@dataclass(frozen=True)
class Line:
    """An experiment, or one class of it.

    Attributes:
        name: Of the experiment.
        of: ``'all'`` or the name of a class.
        scores: Values by column, one for each run; columns without a value are missing.
        gains: By column, over the first experiment; empty for the first.
        quoted: Whether the numbers are the paper's.
    """

    name: str
    of: str
    scores: Mapping[str, Sequence[float]]
    gains: Mapping[str, Gain]
    quoted: bool = False


def read_group(files: Iterable[str | os.PathLike]) -> list[dict]:
    """Records of runs, or the metrics that ``tools/test.py`` leaves; folders are read with all below them.

    Patterns such as ``runs/seed*.json`` are resolved here, since a shell leaves those behind ``NAME=`` alone. Where a
    test has several metrics, a folder stands for the first one; a file of another has to be named. A file that is
    named twice counts once.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ValueError: If a file holds no scores, a folder has none with scores, or the files are of several moments of a
            training.
    """
    runs: dict[str, dict] = {}
    # (a name that is there is no pattern, whatever signs are in it)
    names = [m for name in files for m in ([name] if os.path.exists(name) else sorted(glob.glob(str(name))) or [name])]
    for path in map(Path, names):
        if not path.exists():
            raise FileNotFoundError(f'{path}: expected a record, a metrics file or a folder of them, found none')
        found = {}
        for file in sorted(path.rglob('*.json')) if path.is_dir() else [path]:
            try:
                text = file.read_text(encoding='utf-8', errors='replace')
                content = json.loads(text)
            except ValueError as error:
                if path.is_dir() and text.count('}\n{') == text.strip().count('\n') > 0:
                    continue  # a log of MMEngine, an object a line
                raise ValueError(f'{file}: expected JSON, got something else: {error}') from error
            if path.is_dir() and (not isinstance(content, dict) or 'metrics' not in content or 'evaluator' in content):
                continue  # another file of the run, or further scores of a test that has a file already
            metrics = content.get('metrics') if isinstance(content, dict) else None
            scores = (metrics or {}).get('segm', {}).get(_ALL)
            if scores is None:
                raise ValueError(f'{file}: expected the record of a run or its metrics file, with scores of masks')
            found[os.path.realpath(file)] = content | {'file': file.as_posix()}
        if not found:
            raise ValueError(f'{path}: expected records of runs or metrics files, found none in this folder')
        if path.is_dir():
            _require_one_moment(found.values())
        runs |= {real: content for real, content in found.items() if real not in runs}
    for folder in {os.path.dirname(real) for real in runs}:
        _require_one_moment(run for real, run in runs.items() if os.path.dirname(real) == folder)
    return list(runs.values())


def _require_one_moment(runs: Iterable[dict]) -> None:
    """Scores after other numbers of iterations, or of a validation and a test, are no seeds of one experiment."""
    files = {run.get('iteration'): run['file'] for run in runs}
    if len(files) > 1:
        found = ', '.join(f'{file} ({"a test" if n is None else f"after {n}"})' for n, file in files.items())
        raise ValueError(
            f'expected one score of each training, got those of several moments: {found}; name the file that counts'
        )


def compare(groups: Mapping[str, Sequence[dict]], classes: bool = False, paper: Sequence[str] = ()) -> list[Line]:
    """Lines of a table: each experiment, then each class of it; last the paper's models that are asked for.

    Args:
        groups: Runs by the name of their experiment; gains refer to the first.
        classes: Whether to add a line for each class.
        paper: Keys of ``paper_results.yaml``'s Table 4, such as ``mask_rcnn``.

    Raises:
        ValueError: If an experiment has no runs or two of one seed, or runs were tested on different data.
    """
    _check(groups)
    parts = list(next(iter(groups.values()))[0]['metrics']['segm']) if classes else [_ALL]
    first = next(iter(groups.values()))
    lines = []
    for part in parts:
        for name, runs in groups.items():
            scores = {column: values for column in COLUMNS if (values := _values(runs, part, column))}
            gains = {} if runs is first else {c: _gain(first, runs, part, c) for c in scores}
            lines.append(Line(name, part, scores, {c: gain for c, gain in gains.items() if gain is not None}))
    for record in paper_records(paper) if paper else ():
        row = record['metrics']['segm'][_ALL]
        lines.append(Line(record['title'], _ALL, {c: [_unit(c, row[c])] for c in COLUMNS}, {}, quoted=True))
    return lines


def _unit(column: str, value: float) -> float:
    return value if column == 'Recall' else 100 * value


def _values(runs: Sequence[dict], part: str, column: str) -> list[float]:
    found = [run['metrics']['segm'][part][column] for run in runs]
    return [] if None in found else [_unit(column, value) for value in found]


def _check(groups: Mapping[str, Sequence[dict]]) -> None:
    tested = {}
    for name, runs in groups.items():
        if not runs:
            raise ValueError(f'{name}: expected at least one run, got none')
        seeds = [run['seed'] for run in runs if 'seed' in run]
        if twice := sorted({seed for seed in seeds if seeds.count(seed) > 1}):
            raise ValueError(f'{name}: expected each seed once, got the seed {twice[0]} in several runs')
        for run in runs:
            scores = run['metrics']['segm']
            key = (tuple(scores), tuple(row['targets'] for row in scores.values()))
            key += (run.get('tested_images', run.get('images')), run.get('max_dets', MAX_DETS))
            tested.setdefault((key, _test_files(run)), run['file'])
    known = {key for key, _ in tested}
    files = {key for _, key in tested if key}
    if len(known) > 1 or len(files) > 1:
        first, second = list(tested.values())[:2]
        raise ValueError(
            f'expected runs that were tested on the same data, with the same number of images and of detections that '
            f'count (max_dets), got others in {first} and {second}'
        )


def _test_files(run: dict) -> tuple[str, ...]:
    return tuple(entry['sha256'] for entry in run.get('data', {}).get('test', []))


def _gain(first: Sequence[dict], runs: Sequence[dict], part: str, column: str) -> Gain | None:
    before, after = (_values(group, part, column) for group in (first, runs))
    if not before or not after:
        return None
    seeds = ([run.get('seed') for run in group] for group in (first, runs))
    return seed_gain(*(list(zip(*pair, strict=True)) for pair in zip(seeds, (before, after), strict=True)))


def _score(column: str, values: Sequence[float], plus_minus: str = ' ± ') -> str:
    digits = 3 if column == 'Recall' else 2
    text = f'{statistics.fmean(values):.{digits}f}'
    return text if len(values) < 2 else f'{text}{plus_minus}{statistics.stdev(values):.{digits}f}'


def _cells(lines: Sequence[Line], plus_minus: str = ' ± ') -> tuple[list[str], list[list[str]]]:
    by_class = any(line.of != _ALL for line in lines)
    header = ['Experiment', *(['Of'] if by_class else []), 'Runs', *COLUMNS, 'Gain in mAP']
    rows = []
    for line in lines:
        gain = line.gains.get('mAP')
        text = '' if gain is None else signed(gain.value)
        if gain is not None and gain.error is not None:
            text += f'{plus_minus}{gain.error:.3f}' + ('' if gain.certain else ' (no difference)')
        number = max((len(values) for values in line.scores.values()), default=0)
        scores = [_score(c, line.scores[c], plus_minus) if c in line.scores else '-' for c in COLUMNS]
        runs = 'quoted' if line.quoted else str(number)
        rows.append([line.name, *([line.of] if by_class else []), runs, *scores, text])
    return header, rows


def as_markdown(lines: Sequence[Line]) -> str:
    """Table of all columns; the gain is that of mAP, ± its standard error."""
    header, rows = _cells(lines)
    left = 1 + (header[1] == 'Of')
    return markdown_table(header, rows, 'l' * left + 'r' * (len(header) - left))


def as_latex(lines: Sequence[Line]) -> str:
    """The same for LaTeX, with booktabs."""
    header, rows = _cells(lines)
    left = 1 + (header[1] == 'Of')
    text = [' & '.join(escape_latex(cell) for cell in row) + r' \\' for row in [header, *rows]]
    columns = 'l' * left + 'r' * (len(header) - left)
    body = '\n'.join(text[1:])
    return (
        f'\\begin{{tabular}}{{{columns}}}\n\\toprule\n{text[0]}\n\\midrule\n{body}\n\\bottomrule\n\\end{{tabular}}\n'
    )


def as_csv(lines: Sequence[Line]) -> str:
    """One line for each number, without rounding."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator='\n')
    writer.writerow(('experiment', 'of', 'column', 'n', 'mean', 'std', 'gain', 'gain_standard_error', 'paired'))
    for line in lines:
        for column, values in line.scores.items():
            gain = line.gains.get(column)
            std = statistics.stdev(values) if len(values) > 1 else ''
            rest = (
                ('', '', '') if gain is None else (gain.value, '' if gain.error is None else gain.error, gain.paired)
            )
            writer.writerow((line.name, line.of, column, len(values), statistics.fmean(values), std, *rest))
    return out.getvalue()
