"""Filled tables as Markdown, LaTeX (booktabs) and CSV."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..markdown import markdown_table
from .gains import Gain
from .paper_tables import SIZES, STUDY_TABLE, FilledRow, FilledTable, Summary, describe_runs, unlike_rows

NOT_RUN = 'not run'
SIZE_TITLES = {
    'study': 'Small models, 2,000 steps',
    'cpu': 'Small models, 400 steps',
    'scratch': 'Small models from scratch',
    'paper': "The paper's size",
}
_NO_VALUE = '-'
CSV_COLUMNS = (
    'table',
    'size',
    'data',
    'row',
    'title',
    'config',
    'column',
    'n',
    'seeds',
    'mean',
    'std',
    'paper',
    'gain',
    'gain_standard_error',
    'paper_gain',
)
_LATEX_ESCAPES = str.maketrans(
    {
        '\\': r'\textbackslash{}',
        '~': r'\textasciitilde{}',
        '^': r'\textasciicircum{}',
        **{character: f'\\{character}' for character in '&%$#_{}'},
        **{character: f'${character}$' for character in '<>|'},
        '±': r'$\pm$',
        '×': r'$\times$',
        'γ': r'$\gamma$',
    }
)


@dataclass(frozen=True)
class Number:
    """One cell before it is set in a format: a number with its deviation, or words; in brackets if no difference."""

    text: str
    std: str | None = None
    bold: bool = False
    brackets: bool = False


Lines = list[list[Number]]


def signed(value: float) -> str:
    """Three decimals with a sign; never ``-0.000``."""
    return f'{round(value, 3) + 0.0:+.3f}'


def _number(summary: Summary | None, bold: bool = False) -> Number:
    if summary is None:
        return Number(_NO_VALUE)
    return Number(_plain(summary.mean), None if summary.std is None else f'{summary.std:.3f}', bold)


def _plain(value: float) -> str:
    return f'{value:.3f}'


def score_lines(table: FilledTable) -> Lines:
    """Header, then for each row its title, number of runs and scores; the best mean of each column is bold."""
    lines = [[Number(text) for text in ('', 'n', *table.columns)]]
    for row in table.rows:
        if not row.runs:
            lines.append([Number(row.title), Number('0'), *[Number(NOT_RUN)] * len(table.columns)])
            continue
        line = [Number(row.title), Number(str(len(row.runs)))]
        for column in table.columns:
            summary = row.scores.get(column)
            best = summary is not None and summary.mean == table.best(column)
            line.append(_number(summary, best))
        lines.append(line)
    return lines


def comparison_lines(table: FilledTable) -> Lines:
    """What can be compared with the paper.

    Of small models on other data it is the gain over the first row; at the paper's size also the value itself. If the
    paper prints any row, each has one line for here and one for the paper, and the second column tells which.
    """
    by_value = table.size == 'paper' and table.in_paper
    lines = [[Number(text) for text in ('', *([''] if table.in_paper else []), *table.columns)]]
    for row in table.rows if by_value else table.rows[1:]:
        here = _difference_line(table, row) if by_value else _gain_line(table, row)
        if not table.in_paper:
            lines.append([Number(row.title), *here])
            continue
        lines.append([Number(row.title), Number('here - paper' if by_value else 'here'), *here])
        lines.append([Number(''), Number('paper'), *_paper_line(table, row, by_value)])
    return lines


def _gain_line(table: FilledTable, row: FilledRow) -> list[Number]:
    if not row.runs or not table.rows[0].runs:
        return [Number('no baseline' if row.runs else NOT_RUN)] * len(table.columns)
    return [_gain_number(table.gain(row, column)) for column in table.columns]


def _gain_number(gain: Gain | None) -> Number:
    """In brackets where it is no difference."""
    if gain is None:
        return Number(_NO_VALUE)
    error = None if gain.error is None else f'{gain.error:.3f}'
    return Number(signed(gain.value), error, brackets=error is not None and not gain.certain)


def _difference_line(table: FilledTable, row: FilledRow) -> list[Number]:
    if not row.runs:
        return [Number(NOT_RUN)] * len(table.columns)
    both = [column in row.scores and column in row.paper for column in table.columns]
    return [
        Number(signed(row.scores[column].mean - row.paper[column]) if known else _NO_VALUE)
        for column, known in zip(table.columns, both, strict=True)
    ]


def _paper_line(table: FilledTable, row: FilledRow, by_value: bool) -> list[Number]:
    values = [row.paper.get(column) if by_value else table.paper_gain(row, column) for column in table.columns]
    return [Number(_NO_VALUE if v is None else _plain(v) if by_value else signed(v)) for v in values]


def comparison_title(table: FilledTable) -> str:
    if table.size == 'paper' and table.in_paper:
        return "Beside the paper's values"
    return f'Gain over the first row ({table.rows[0].title})' + (', here and in the paper' if table.in_paper else '')


def note_lines(table: FilledTable) -> list[str]:
    """What stands below a table; warnings begin with that word."""
    lines = [describe_runs(table)] if table.runs else []
    if table.paper_best is not None:
        lines.append(f'Of the paper only the best row is known: {table.paper_best}.')
    return [*lines, *(f'Warning: {warning}' for warning in unlike_rows(table))]


def markdown_rows(lines: Lines, left: int = 1) -> str:
    """A Markdown table; the first line is the header, the first ``left`` columns are aligned to the left."""
    rows = [[_markdown(number) for number in line] for line in lines]
    return markdown_table(rows[0], rows[1:], 'l' * left + 'r' * (len(rows[0]) - left))


def _markdown(number: Number) -> str:
    text = f'**{number.text}**' if number.bold else number.text
    text = text if number.std is None else f'{text} ± {number.std}'
    return f'({text})' if number.brackets else text


def _markdown_notes(table: FilledTable) -> str:
    notes = [note.replace('Warning:', '**Warning:**', 1) for note in note_lines(table)]
    return '\n\n'.join(notes)


def render_markdown(table: FilledTable) -> str:
    """Scores, comparison and notes."""
    parts = [markdown_rows(score_lines(table)), f'{comparison_title(table)}:']
    return '\n\n'.join(
        [*parts, markdown_rows(comparison_lines(table), left=1 + table.in_paper), _markdown_notes(table)]
    )


def render_all_markdown(tables: Sequence[FilledTable]) -> str:
    """All tables under headings, by size and data; a size without any run is said to be so."""
    parts = []
    for size in SIZES:
        of_size = [table for table in tables if table.size == size]
        if not of_size:
            parts.append(f'## {SIZE_TITLES[size]}\n\n{NOT_RUN.capitalize()}.')
        for data in dict.fromkeys(table.data for table in of_size):
            group = [table for table in of_size if table.data == data]
            parts.append(f'## {SIZE_TITLES[size]}: {group[0].runs[0]["data_title"]}')
            parts += [f'### {table.title}\n\n{render_markdown(table)}' for table in group]
    return '\n\n'.join(parts)


def render_study(tables: Iterable[FilledTable], paper_gains: Mapping[str, float]) -> str:
    """One compact Markdown table: mAP and its gain for each part, on all data, beside the paper's gain.

    Args:
        tables: Filled tables; those named ``parts`` count.
        paper_gains: The paper's gain in mAP by config.
    """
    parts = [table for table in tables if table.name == STUDY_TABLE]
    if not parts:
        return f'{NOT_RUN.capitalize()}.'
    header = ['']
    for table in parts:
        where = table.runs[0]['data_title'] + (", the paper's size" if table.size == 'paper' else '')
        header += [f'mAP, {where}', 'gain']
    lines = [[Number(text) for text in (*header, "gain in the paper's mAP")]]
    for i, row in enumerate(parts[0].rows):
        line = [Number(row.title)]
        for table in parts:
            mine = table.rows[i]
            gain = Number('') if i == 0 else _gain_line(table, mine)[list(table.columns).index('mAP')]
            score = _number(mine.scores.get('mAP')) if mine.runs else Number(NOT_RUN)
            line += [score, gain]
        paper = paper_gains.get(row.config)
        line.append(Number('' if i == 0 else _NO_VALUE if paper is None else signed(paper)))
        lines.append(line)
    return '\n\n'.join([markdown_rows(lines), *(_markdown_notes(table) for table in parts)])


def escape_latex(text: str) -> str:
    """Text that LaTeX prints as it stands."""
    return text.translate(_LATEX_ESCAPES)


def render_latex(table: FilledTable) -> str:
    """A ``table*`` with scores, comparison and notes; needs the package booktabs."""
    data_title = table.runs[0]['data_title'] if table.runs else table.data
    caption = escape_latex(f'{table.title}. {SIZE_TITLES[table.size]}: {data_title}.')
    notes = '\\\\\n'.join(map(escape_latex, note_lines(table)))
    label = '-'.join(('tab:' + table.name, table.size, table.data)).replace('_', '-')
    return '\n'.join(
        [
            r'% needs \usepackage{booktabs}',
            r'\begin{table*}',
            r'\centering\footnotesize\setlength{\tabcolsep}{3pt}',
            f'\\caption{{{caption}}}',
            f'\\label{{{escape_latex(label)}}}',
            _tabular(score_lines(table), left=1),
            '',
            r'\medskip',
            escape_latex(comparison_title(table)) + r'\\[2pt]',
            _tabular(comparison_lines(table), left=1 + table.in_paper),
            '',
            r'\medskip',
            f'\\parbox{{\\textwidth}}{{\\scriptsize {notes}}}',
            r'\end{table*}',
            '',
        ]
    )


def _tabular(lines: Lines, left: int) -> str:
    first, *rest = [' & '.join(map(_latex, line)) + r' \\' for line in lines]
    columns = 'l' * left + 'r' * (len(lines[0]) - left)
    return '\n'.join(
        [f'\\begin{{tabular}}{{{columns}}}', r'\toprule', first, r'\midrule', *rest, r'\bottomrule', r'\end{tabular}']
    )


def _latex(number: Number) -> str:
    text = escape_latex(number.text)
    if text[:1] in ('+', '-') and text[1:2].isdigit():
        text = f'${text}$'  # else a minus is set as a hyphen
    text = f'\\textbf{{{text}}}' if number.bold else text
    text = text if number.std is None else f'{text}{{\\tiny$\\pm${number.std}}}'
    return f'({text})' if number.brackets else text


def render_csv(table: FilledTable) -> str:
    """A line for each row and column with unrounded numbers in the paper's units; empty where there is none."""
    file = io.StringIO()
    writer = csv.DictWriter(file, CSV_COLUMNS, lineterminator='\n')
    writer.writeheader()
    for row in table.rows:
        for column in table.columns:
            score, gain = row.scores.get(column), table.gain(row, column)
            writer.writerow(
                {
                    'table': table.name,
                    'size': table.size,
                    'data': table.data,
                    'row': row.name,
                    'title': row.title,
                    'config': row.config,
                    'column': column,
                    'n': len(row.runs),
                    'seeds': ' '.join(str(run['seed']) for run in row.runs),
                    'mean': None if score is None else score.mean,
                    'std': None if score is None else score.std,
                    'paper': row.paper.get(column),
                    'gain': None if gain is None else gain.value,
                    'gain_standard_error': None if gain is None else gain.error,
                    'paper_gain': table.paper_gain(row, column),
                }
            )
    return file.getvalue()
