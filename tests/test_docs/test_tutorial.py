"""The tutorial is committed with its outputs; `make tutorial` runs it."""

import json
from pathlib import Path

NOTEBOOK = Path(__file__).parents[2] / 'docs' / 'guide' / 'tutorial.ipynb'


def test_the_notebook_was_run_without_errors() -> None:
    cells = [c for c in json.loads(NOTEBOOK.read_text(encoding='utf-8'))['cells'] if c['cell_type'] == 'code']
    assert [cell['execution_count'] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell['outputs']]
    assert [output for output in outputs if output['output_type'] == 'error'] == []
    assert sum('image/png' in output.get('data', {}) for output in outputs) == 3


def test_the_outputs_name_no_folder_of_a_machine() -> None:
    text = json.dumps([cell.get('outputs', []) for cell in json.loads(NOTEBOOK.read_text(encoding='utf-8'))['cells']])
    assert '.venv' not in text and '/site-packages/' not in text and str(Path.home()) + '/' not in text
