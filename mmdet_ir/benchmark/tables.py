"""A benchmark's result as Markdown."""

from pathlib import Path

from ..markdown import markdown_table
from .coco_backends import as_table as evaluation_table
from .loading import as_table as loading_table


def render(result: dict) -> str:
    """Everything that a run has measured, one table for each kind; see ``run_benchmark`` and the tool."""
    parts = []
    if result.get('products'):
        parts += ['Matrix products of this machine', _products(result['products'])]
    if result.get('inference'):
        parts += ['Inference', _inference(result['inference'])]
    if result.get('step'):
        parts += ['Training step', _steps(result['step'])]
    if 'mask_losses' in result:
        parts += ['Mask losses, forward and backward', _mask_losses(result['mask_losses'])]
    if 'loading' in result:
        parts += ['Data loading', loading_table(result['loading'])]
    if 'evaluation' in result:
        parts += ['Evaluation', evaluation_table(result['evaluation'])]
    if 'profile' in result:
        for title, rows in result['profile'].items():
            parts += [f'Where the time goes: {title}', render_profile(rows)]
    return '\n\n'.join(parts) + '\n'


def render_profile(rows: dict[str, list[dict]]) -> str:
    """What ``profile_call`` returns as two tables."""
    groups = [
        [row['group'], f'{row["total"]:.1f}', f'{row["operators"]:.1f}', f'{row["python"]:.1f}', f'{row["share"]:.0%}']
        for row in rows['groups']
    ]
    operators = [
        [row['operator'], row['group'], str(row['calls']), f'{row["total"]:.1f}'] for row in rows['operators']
    ]
    first = markdown_table(['part', 'ms', 'of it operators', 'between them', 'of all'], groups)
    return first + '\n\n' + markdown_table(['operator', 'mostly in', 'calls', 'ms'], operators, 'llrr')


def _products(products: dict[str, dict]) -> str:
    return markdown_table(
        ['type', 'G operations/s'], [[name, _cell(row, 'rate', 1e-9)] for name, row in products.items()]
    )


def _inference(rows: list[dict]) -> str:
    header = ['model', 'form', 'ms', 'to the first', 'to own eager', 'peak MiB', 'G operations/s', 'of the peak']
    header += ['detections', 'as eager', 'box, px', 'score', 'mask IoU', 'note']
    lines = []
    for row in rows:
        cells = [_cell(row, 'seconds', 1e3), _cell(row, 'ratio'), _cell(row, 'own_ratio'), _cell(row, 'memory')]
        cells += [_cell(row, 'rate', 1e-9), _cell(row, 'share', 100, ' %')]
        cells += [str(row[key]) if key in row else '-' for key in ('detections', 'matched')]
        cells += [_cell(row, key) for key in ('box', 'score', 'mask')]
        note = row.get('error') or row.get('note') or ''
        lines.append([_name(row), row['form'], *cells, note])
    return markdown_table(header, lines, 'll' + 'r' * (len(header) - 2))


def _steps(rows: list[dict]) -> str:
    lines = []
    for row in rows:
        cells = [_cell(row, 'seconds'), _cell(row, 'ratio'), _cell(row, 'memory'), _cell(row, 'rate', 1e-9)]
        lines.append([_name(row), *cells, _cell(row, 'share', 100, ' %'), row.get('error', '')])
    return markdown_table(['model', 's', 'to the first', 'peak MiB', 'G operations/s', 'of the peak', 'note'], lines)


def _mask_losses(losses: dict[str, dict[str, float]]) -> str:
    names = list(next(iter(losses.values())))
    rows = [[name, *(_cell(values, name, 1e3) for values in losses.values())] for name in names]
    return markdown_table(['loss', *(f'{title}, ms' for title in losses)], rows)


def _name(row: dict) -> str:
    return Path(row['model']).stem


def _cell(row: dict, key: str, factor: float = 1.0, unit: str = '') -> str:
    """Four digits, or a dash for what was not measured."""
    value = row.get(key)
    return '-' if value is None else f'{value * factor:.4g}{unit}'
