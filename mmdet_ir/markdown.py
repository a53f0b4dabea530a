"""Tables in Markdown."""

import re
from collections.abc import Iterable, Sequence


def markdown_table(header: Sequence[object], rows: Iterable[Sequence[object]], align: str = '') -> str:
    r"""Lines of a Markdown table, without a line end after the last.

    Args:
        header: Titles of the columns.
        rows: Cells of each line. A ``|`` in a cell is written as ``\|``, or it would end the cell.
        align: A letter for each column, ``l`` or ``r``; the default is left for the first, right for the others.

    Raises:
        ValueError: If a line has more or fewer cells than the header.

    Example:
        >>> from mmdet_ir.markdown import markdown_table
        >>> print(markdown_table(['model', 'mAP'], [['a', 0.5]]))
        | model | mAP |
        |---|---:|
        | a | 0.5 |
    """
    align = align or 'l' + 'r' * (len(header) - 1)
    lines = [_line(header), '|' + ''.join('---:|' if side == 'r' else '---|' for side in align)]
    for row in rows:
        if len(row) != len(align):
            raise ValueError(f'expected {len(align)} cells in a line of a table, got {len(row)}: {list(row)}')
        lines.append(_line(row))
    return '\n'.join(lines)


def _line(cells: Sequence[object]) -> str:
    return '| ' + ' | '.join(re.sub(r'(?<!\\)\|', r'\|', str(cell)) for cell in cells) + ' |'
