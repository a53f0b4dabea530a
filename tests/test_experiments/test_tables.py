import json
import runpy
from pathlib import Path

from mmdet_ir.experiments import load_records, paper_records, render_table, update_tables
from mmdet_ir.experiments.tables import leftover_files, load_filled, update_docs, update_table_files

import pytest
from table_records import PARTS, TABLE1, make_record

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
DOCS = '# Results\n<!-- tables:begin -->\n<!-- tables:end -->\n'
STUDY = '<!-- study:begin -->\n<!-- study:end -->\n'
TEXT = 'Before\n<!-- results:begin -->\nold\n<!-- results:end -->\nAfter\n'


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / 'results'
    folder.mkdir()
    (folder / 'b.json').write_text(json.dumps(RECORD))
    (folder / 'a.json').write_text(json.dumps(RECORD | {'title': 'Zebra', 'data_title': 'real'}))
    (folder / 'speed.json').write_text(json.dumps({'kind': 'speed'}))
    return folder


@pytest.fixture
def study_results(results):
    for seed, score in ((0, 0.25), (1, 0.27)):
        path = results / 'cpu' / 'real' / f'base_seed{seed}.json'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(make_record('base.py', seed, score)))
    return results


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


def test_records_in_folders_below_are_read_with_their_place(study_results):
    records = load_records(study_results)
    assert [(record['title'], record['data_title']) for record in records] == [
        ('any', 'clips, derived masks'),
        ('any', 'clips, derived masks'),
        ('Zebra', 'real'),
        ('Mask R-CNN, small', 'synthetic'),
    ]
    assert records[0]['file'].endswith('results/cpu/real/base_seed0.json')


@pytest.mark.parametrize(
    ('text', 'message'),
    [('{', r'cut\.json: expected JSON'), ('{"kind": "run", "title": "x"}', r"cut\.json: expected 'data_title'")],
)
def test_a_broken_record_is_named(results, text, message):
    (results / 'cut.json').write_text(text)
    with pytest.raises(ValueError, match=message):
        load_records(results)


def test_runs_of_the_study_are_not_in_the_table_of_single_runs(study_results, tmp_path):
    readme = tmp_path / 'README.md'
    readme.write_text(TEXT)
    update_tables(study_results, [readme])
    assert len([line for line in readme.read_text().splitlines() if line.startswith('|')]) == 2 + 2 + 2


def test_the_table_of_the_study_fills_its_own_marks(study_results, tmp_path):
    readme = tmp_path / 'README.md'
    readme.write_text(TEXT + STUDY)
    assert update_tables(study_results, [readme], tables=[TABLE1, PARTS]) == [readme]
    single, study = readme.read_text().split('<!-- study:begin -->')
    assert cells(study.strip().splitlines()[2]) == ['baseline', '26.000 ± 1.414', '', '']  # 25, 27: sqrt(2)
    assert 'Zebra' in single and 'baseline' not in single and 'Zebra' not in study
    assert update_tables(study_results, [readme], check=True, tables=[TABLE1, PARTS]) == []
    readme.write_text(TEXT + '<!-- study:begin -->')
    with pytest.raises(ValueError, match=r'README\.md: expected one <!-- study:begin -->'):
        update_tables(study_results, [readme], tables=[PARTS])


def test_documents_and_files_of_tables_are_checked_and_written(study_results, tmp_path):
    docs, folder = tmp_path / 'results.md', tmp_path / 'tables'
    docs.write_text(DOCS)
    filled = load_filled(study_results, [TABLE1, PARTS])
    names = [f'{table}_cpu_real{suffix}' for table in ('table1', 'parts') for suffix in ('.tex', '.csv')]
    assert update_docs(filled, docs, check=True) == [docs] and docs.read_text() == DOCS
    assert [path.name for path in update_table_files(filled, folder, check=True)] == names and not folder.exists()
    update_docs(filled, docs)
    update_table_files(filled, folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    assert '### BNSA by stage (Table 1)' in docs.read_text()
    assert update_docs(filled, docs, check=True) == update_table_files(filled, folder, check=True) == []
    (folder / 'parts_cpu_real.csv').write_text('mean\n')
    assert update_table_files(filled, folder, check=True) == [folder / 'parts_cpu_real.csv']
    assert leftover_files(filled, folder) == []
    assert leftover_files(filled[:1], folder) == [folder / 'parts_cpu_real.csv', folder / 'parts_cpu_real.tex']


def test_a_new_run_makes_the_tables_stale(study_results, tmp_path):
    docs = tmp_path / 'results.md'
    docs.write_text(DOCS)
    update_docs(load_filled(study_results, [PARTS]), docs)
    (study_results / 'cpu' / 'third.json').write_text(json.dumps(make_record('base.py', 2, 0.26)))
    assert update_docs(load_filled(study_results, [PARTS]), docs, check=True) == [docs]


def run_tool(monkeypatch, *arguments):
    monkeypatch.setattr('sys.argv', ['render_results.py', *map(str, arguments)])
    runpy.run_path(str(ROOT / 'tools/analysis/render_results.py'), run_name='__main__')


def test_the_tool_names_what_is_stale_and_what_is_left_over(study_results, tmp_path, monkeypatch, capsys):
    docs, folder = tmp_path / 'results.md', tmp_path / 'tables'
    docs.write_text(DOCS)
    folder.mkdir()
    (folder / 'old_cpu_real.tex').write_text('')
    with pytest.raises(SystemExit) as error:
        run_tool(monkeypatch, study_results, '--docs', docs, '--tables', folder, '--check')
    # base.py is no cell of the project: there is no table to write, but the document has to say so
    assert error.value.code == 1
    assert capsys.readouterr().out.splitlines() == [
        f'{docs}: out of date; run this tool without --check',
        f'{folder}/old_cpu_real.tex: belongs to no table; delete it',
    ]
    run_tool(monkeypatch, study_results, '--docs', docs, '--tables', folder)
    (folder / 'old_cpu_real.tex').unlink()
    run_tool(monkeypatch, study_results, '--docs', docs, '--tables', folder, '--check')


def test_the_tool_refuses_runs_that_must_not_be_averaged_in_one_line(study_results, tmp_path, monkeypatch, capsys):
    (study_results / 'other.json').write_text(json.dumps(make_record('base.py', 2, 0.5, cell_sha256='other')))
    docs = tmp_path / 'results.md'
    docs.write_text(DOCS)
    with pytest.raises(SystemExit) as error:
        run_tool(monkeypatch, study_results, '--docs', docs)
    assert error.value.code == 2 and docs.read_text() == DOCS
    assert 'other.json: expected the settings of' in capsys.readouterr().err.splitlines()[0]
    with pytest.raises(SystemExit):
        run_tool(monkeypatch, study_results)
    assert 'expected --readme, --docs or --tables' in capsys.readouterr().err


def test_the_tool_fails_on_a_stale_table_only(results, tmp_path, monkeypatch, capsys):
    readme = tmp_path / 'README.md'
    readme.write_text(TEXT)

    with pytest.raises(SystemExit) as error:
        run_tool(monkeypatch, results, '--readme', readme, '--check')
    assert error.value.code == 1 and 'README.md: out of date' in capsys.readouterr().out
    run_tool(monkeypatch, results, '--readme', readme)
    run_tool(monkeypatch, results, '--readme', readme, '--check')
