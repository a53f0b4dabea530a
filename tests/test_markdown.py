"""Tables in Markdown."""

from mmdet_ir.markdown import markdown_table

import pytest


def test_a_table_line_by_line() -> None:
    text = markdown_table(['model', 'mAP', 'note'], [['a', 0.5, ''], ['b|c', 1, r'kept \| once']], 'lrl')
    assert text.split('\n') == [
        '| model | mAP | note |',
        '|---|---:|---|',
        '| a | 0.5 |  |',
        r'| b\|c | 1 | kept \| once |',
    ]


def test_numbers_are_to_the_right_by_default() -> None:
    assert markdown_table(['a', 'b', 'c'], []) == '| a | b | c |\n|---|---:|---:|'


def test_a_line_with_too_few_cells_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected 2 cells in a line of a table, got 1: \['x'\]"):
        markdown_table(['a', 'b'], [['x']])
