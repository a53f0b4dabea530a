"""The paper's tables as data: cells, jobs, records, tables."""

from .records import make_record, save_record
from .tables import load_records, paper_records, render_table, update_tables

__all__ = [
    'load_records',
    'make_record',
    'paper_records',
    'render_table',
    'save_record',
    'update_tables',
]
