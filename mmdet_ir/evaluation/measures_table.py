"""Measures as tables for people."""

from collections.abc import Sequence

from terminaltables import AsciiTable

from .measures import MEASURES
from .rows import ALL, BIN_COLUMNS, COLUMNS, Row, Rows, format_value

TITLES = {
    'masks': 'Masks',
    'boundary': 'Masks, boundary IoU',
    'size': 'Masks by size of the target: square root of the area, pixels',
    'contrast': 'Masks by contrast of the target: local signal-to-clutter ratio',
}
_NO_GROUPS = ('masks', 'boundary')


def measure_tables(measures: dict) -> list[tuple[str, list[list[str]]]]:
    """Title and lines (the first is the head) of the table of each measure.

    Args:
        measures: What ``measure`` or ``extra_measures`` returned. Other entries than measures are passed over.
    """
    tables = []
    for name, content in measures.items():
        if name in _NO_GROUPS:
            tables.append((TITLES[name], _class_lines(content)))
        elif name not in ('images', 'detections', 'settings', 'uncounted'):
            title = TITLES[name] if name in MEASURES else f'Masks by "{name}" of the image'
            tables.append((title, _group_lines(content)))
    return tables


def _class_lines(rows: Rows) -> list[list[str]]:
    return [['', 'targets', *COLUMNS], *(_cells(label, row, tuple(COLUMNS)) for label, row in rows.items())]


def _group_lines(groups: dict[str, Rows]) -> list[list[str]]:
    """One line for each bin or value: all classes, then the mAP of each class that has targets anywhere."""
    names = dict.fromkeys(name for rows in groups.values() for name, row in rows.items() if row['targets'])
    classes = [name for name in names if name != ALL]
    lines = [['', 'targets', *BIN_COLUMNS, *(f'mAP {name}' for name in classes)]]
    for label, rows in groups.items():
        cells = _cells(label, rows[ALL], BIN_COLUMNS)
        lines.append(cells + [format_value('mAP', rows[name]['mAP']) for name in classes])
    return lines


def _cells(label: str, row: Row, columns: Sequence[str]) -> list[str]:
    return [label, str(row['targets']), *(format_value(column, row[column]) for column in columns)]


def plain(lines: list[list[str]]) -> str:
    """Table for a terminal or a log."""
    table = AsciiTable(lines)
    table.justify_columns = dict.fromkeys(range(1, len(lines[0])), 'right')
    return table.table
