"""Result tables in Markdown, rendered from records and from the numbers printed in the paper."""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from mmengine.fileio import load

from ..evaluation.ir_coco_metric import COLUMNS, format_value
from ..fileio import write_text

BEGIN, END = '<!-- results:begin -->', '<!-- results:end -->'
PAPER_RESULTS = Path(__file__).with_name('paper_results.yaml')
_PAPER_TITLES = {'mask_rcnn': 'Mask R-CNN', 'ours': 'Mask R-CNN + BNSA + Focal-SIoU + MBCE-Dice-LS'}


def load_records(folder: str | os.PathLike) -> list[dict]:
    """Records of runs in a folder (``*.json`` with ``"kind": "run"``), ordered by data, then model."""
    if not Path(folder).is_dir():
        raise FileNotFoundError(f'{folder}: expected a folder of records, found none')
    contents = [json.loads(path.read_text()) for path in sorted(Path(folder).glob('*.json'))]
    records = [content for content in contents if isinstance(content, dict) and content.get('kind') == 'run']
    return sorted(records, key=lambda record: (record['data_title'], record['title']))


def paper_records(models: Sequence[str] = ('mask_rcnn', 'ours')) -> list[dict]:
    """Rows of the paper's Table 4 in the form of records, marked as quoted."""
    paper = load(PAPER_RESULTS)
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


def render_table(records: Iterable[dict]) -> str:
    """Markdown table of the masks' scores in the paper's columns; each row says where its numbers come from."""
    header = ['Model', 'Data', *COLUMNS, 'Params (M)', 'Source']
    lines = ['| ' + ' | '.join(header) + ' |', '|---|---|' + '---:|' * (len(COLUMNS) + 1) + '---|']
    for record in records:
        row = record['metrics']['segm']['all']
        cells = [record['title'], record['data_title'], *(format_value(column, row[column]) for column in COLUMNS)]
        cells += [f'{record["parameters"] / 1e6:.3f}', _source(record)]
        lines.append('| ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def _source(record: dict) -> str:
    if record['provenance'] == 'quoted':
        return 'quoted from the paper'
    if record['provenance'] != 'measured':
        raise ValueError(f"{record['title']}: 'provenance': expected measured or quoted, got {record['provenance']!r}")
    name = record['config'].removeprefix('configs/').removesuffix('.py')
    return f'measured here, `{name}`'


def update_tables(folder: str | os.PathLike, files: Sequence[str | os.PathLike], check: bool = False) -> list[Path]:
    """Replaces the text between the two marks in each Markdown file by the table of all records.

    Args:
        folder: Folder of records.
        files: Markdown files with one ``<!-- results:begin -->`` and one ``<!-- results:end -->``.
        check: Only compare; write nothing.

    Returns:
        The files that were out of date.
    """
    table = render_table([*load_records(folder), *paper_records()])
    stale = []
    for path in map(Path, files):
        text = path.read_text(encoding='utf-8')
        if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(END) < text.index(BEGIN):
            raise ValueError(f'{path}: expected one {BEGIN} and, after it, one {END}')
        before, rest = text.split(BEGIN)
        after = rest.split(END)[1]
        updated = f'{before}{BEGIN}\n{table}\n{END}{after}'
        if updated != text:
            stale.append(path)
            if not check:
                write_text(path, updated)
    return stale
