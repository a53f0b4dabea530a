import json
import runpy
from pathlib import Path

from mmdet_ir.experiments import load_records, paper_records, render_table, update_tables

import pytest

ROOT = Path(__file__).parents[2]
ROW = {'mAP': 0.51234, 'Recall': 0.6126, 'mAP50': 0.9, 'mAP75': 0.5, 'mAPs': None, 'mAPm': 0.25, 'mAPl': 1.0}
RECORD = {
    'kind': 'run',
    'provenance': 'measured',
    'title': 'Mask R-CNN, small',
    'data_title': 'synthetic',
    'config': 'configs/quickstart/mask_rcnn.py',
    'parameters': 12345678,
    'metrics': {'segm': {'all': ROW}},
}
TEXT = 'Before\n<!-- results:begin -->\nold\n<!-- results:end -->\nAfter\n'


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / 'results'
    folder.mkdir()
    (folder / 'b.json').write_text(json.dumps(RECORD))
    (folder / 'a.json').write_text(json.dumps(RECORD | {'title': 'Zebra', 'data_title': 'real'}))
    (folder / 'speed.json').write_text(json.dumps({'kind': 'speed'}))
    return folder


def cells(line):
    return [cell.strip() for cell in line.strip('|').split('|')]


def test_rows_in_the_papers_units_with_their_source():
    lines = render_table([RECORD, *paper_records()]).splitlines()
    assert cells(lines[0])[2:9] == ['mAP', 'Recall', 'mAP50', 'mAP75', 'mAPs', 'mAPm', 'mAPl']
    assert cells(lines[2]) == [
        *('Mask R-CNN, small', 'synthetic', '51.234', '0.613', '90.000', '50.000', '-', '25.000', '100.000'),
        *('12.346', 'measured here, `quickstart/mask_rcnn`'),
    ]
    # Table 4 as printed: mAP, Recall, mAP50, mAP75, mAPs, mAPm, mAPl, parameters
    assert cells(lines[3])[2:] == [
        *('64.602', '0.693', '96.359', '76.504', '56.818', '75.582', '77.225', '44.343', 'quoted from the paper'),
    ]
    assert cells(lines[4])[2:] == [
        *('68.460', '0.718', '97.229', '82.278', '61.798', '77.394', '80.007', '53.865', 'quoted from the paper'),
    ]


def test_a_row_of_unknown_provenance_is_refused():
    with pytest.raises(ValueError, match="Mask R-CNN, small: 'provenance': expected measured or quoted, got 'guess'"):
        render_table([RECORD | {'provenance': 'guess'}])


def test_records_are_ordered_by_data_and_other_files_are_left_alone(results):
    assert [record['title'] for record in load_records(results)] == ['Zebra', 'Mask R-CNN, small']
    with pytest.raises(FileNotFoundError, match='nowhere: expected a folder of records'):
        load_records(results / 'nowhere')


def test_only_the_text_between_the_marks_is_replaced(results, tmp_path):
    readme = tmp_path / 'README.md'
    readme.write_text(TEXT)
    assert update_tables(results, [readme], check=True) == [readme]
    assert readme.read_text() == TEXT
    assert update_tables(results, [readme]) == [readme]
    lines = readme.read_text().splitlines()
    assert lines[:2] == ['Before', '<!-- results:begin -->'] and lines[-2:] == ['<!-- results:end -->', 'After']
    assert 'old' not in lines and len([line for line in lines if line.startswith('|')]) == 2 + 2 + 2
    assert update_tables(results, [readme], check=True) == []


@pytest.mark.parametrize('text', ['no marks', TEXT + TEXT, '<!-- results:end -->\n<!-- results:begin -->'])
def test_a_file_without_one_pair_of_marks_is_an_error(results, tmp_path, text):
    readme = tmp_path / 'README.md'
    readme.write_text(text)
    with pytest.raises(ValueError, match=r'README\.md: expected one <!-- results:begin -->'):
        update_tables(results, [readme])


def test_the_tool_fails_on_a_stale_table_only(results, tmp_path, monkeypatch, capsys):
    readme = tmp_path / 'README.md'
    readme.write_text(TEXT)

    def run(*options):
        monkeypatch.setattr('sys.argv', ['render_results.py', str(results), '--readme', str(readme), *options])
        runpy.run_path(str(ROOT / 'tools/analysis/render_results.py'), run_name='__main__')

    with pytest.raises(SystemExit) as error:
        run('--check')
    assert error.value.code == 1 and 'README.md: out of date' in capsys.readouterr().out
    run()
    run('--check')
