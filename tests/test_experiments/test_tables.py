import csv
import json
import runpy
from pathlib import Path

from mmdet_ir.experiments import load_records, paper_records, render_table, update_tables
from mmdet_ir.experiments.tables import leftover_files, load_filled, update_docs, update_table_files

import pytest
from table_records import PARTS, TABLE1, make_record

ROOT = Path(__file__).parents[2]
ROW = {
    'targets': 9,
    'mAP': 0.51234,
    'Recall': 0.6126,
    'mAP50': 0.9,
    'mAP75': 0.5,
    'mAPs': None,
    'mAPm': 0.25,
    'mAPl': 1.0,
}
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
    assert 'old' not in lines and len([line for line in lines if line.startswith('|')]) == 2 + 2
    assert update_tables(results, [readme], check=True) == []
    assert update_tables(results, [readme], paper=['mask_rcnn', 'ours']) == [readme]
    assert 'quoted from the paper' in readme.read_text().splitlines()[-3]


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
    assert len([line for line in readme.read_text().splitlines() if line.startswith('|')]) == 2 + 2


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
    # base.py is no cell of the project: there are the tables of the single runs, one for each data set
    assert error.value.code == 1
    own = [f'{folder}/runs_{data}{suffix}' for data in ('real', 'synthetic') for suffix in ('.tex', '.csv')]
    assert capsys.readouterr().out.splitlines() == [
        *(f'{path}: out of date; run this tool without --check' for path in (docs, *own)),
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


def own_records(folder, scores, **more):
    """Two seeds of an experiment, mAP as given, on data of one's own."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, score in enumerate(scores):
        rows = {'all': ROW | {'mAP': score}, 'car': ROW | {'mAP': score}}
        record = RECORD | {'seed': seed, 'metrics': {'segm': rows}} | more
        (folder / f'{more.get("title", "own")}{seed}.json').write_text(json.dumps(record))


def test_seeds_of_ones_own_runs_are_averaged(tmp_path, monkeypatch, capsys):
    """25 and 27: 26 and sqrt(2); 31 and 35: 33 and 2 sqrt(2). Nothing of the paper stands in one's table."""
    folder, readme = tmp_path / 'records', tmp_path / 'README.md'
    own_records(folder, (0.25, 0.27), title='base')
    own_records(folder, (0.31, 0.35), title='ours')
    readme.write_text(TEXT)
    run_tool(monkeypatch, folder, '--readme', readme)
    lines = [cells(line) for line in readme.read_text().splitlines() if line.startswith('|')]
    assert [line[:3] for line in lines[2:]] == [
        ['base', 'synthetic', '26.000 ± 1.414'],
        ['ours', 'synthetic', '33.000 ± 2.828'],
    ]
    assert lines[2][-1] == 'measured here, `quickstart/mask_rcnn`, mean of 2 seeds'
    assert 'updated' in capsys.readouterr().out


def test_tables_of_ones_own_runs_are_written(tmp_path, monkeypatch, capsys):
    folder, tables, docs = tmp_path / 'records', tmp_path / 'tables', tmp_path / 'docs.md'
    own_records(folder, (0.25, 0.27), title='base', data_title='My ships (IR)')
    own_records(folder, (0.31, 0.35), title='ours', data_title='My ships (IR)')
    docs.write_text(DOCS)
    run_tool(monkeypatch, folder, '--tables', tables, '--docs', docs)
    assert sorted(path.name for path in tables.iterdir()) == ['runs_my_ships_ir.csv', 'runs_my_ships_ir.tex']
    rows = list(csv.DictReader((tables / 'runs_my_ships_ir.csv').open()))
    row = next(row for row in rows if (row['experiment'], row['column']) == ('ours', 'mAP'))
    assert (float(row['mean']), float(row['std']), row['n']) == (pytest.approx(33), pytest.approx(8**0.5), '2')
    assert '| base | 2 |' in docs.read_text() and 'Not run' not in docs.read_text()
    assert f'{tables / "runs_my_ships_ir.tex"}: updated' in capsys.readouterr().out
    run_tool(monkeypatch, folder, '--tables', tables, '--docs', docs, '--check')
    assert capsys.readouterr().out == ''


def test_what_cannot_stand_in_a_table_of_ones_own_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / 'records'
    own_records(folder, (0.25, 0.27), title='base')
    (folder / 'again.json').write_text((folder / 'base1.json').read_text())
    with pytest.raises(ValueError, match=r'base, synthetic: .* the seed 1 in .*again.json and .*base1.json'):
        render_table(load_records(folder))
    own_records(tmp_path / 'boxes', (0.25,), metrics={'bbox': {'all': ROW}})
    with pytest.raises(
        ValueError, match=r"own0\.json: expected scores of masks \(metrics\.segm\.all\), got \['bbox'\]"
    ):
        render_table(load_records(tmp_path / 'boxes'))
    for number, (what, more) in enumerate(
        {
            'settings': {'config_overrides': {'optim_wrapper.optimizer.lr': 0.1, 'randomness.seed': 1}},
            'batch size': {'training': {**RECORD.get('training', {}), 'batch_size': 36}},
            'test data': {'data': {**RECORD.get('data', {}), 'test': [{'sha256': 'other'}]}},
        }.items()
    ):
        other = tmp_path / f'other{number}'
        own_records(other, (0.3, 0.5))
        changed = json.loads((other / 'own1.json').read_text()) | more
        (other / 'own1.json').write_text(json.dumps(changed))
        with pytest.raises(
            ValueError, match=rf'own1\.json: expected the {what} of .*own0\.json, .* only the seed may'
        ):
            render_table(load_records(other))
    stopped = tmp_path / 'stopped early'
    own_records(stopped, (0.3, 0.5))
    more = {'training': {**RECORD.get('training', {}), 'epochs': 36}}
    more |= {'config_overrides': {**RECORD.get('config_overrides', {}), 'train_dataloader.num_workers': 9}}
    (stopped / 'own1.json').write_text(json.dumps(json.loads((stopped / 'own1.json').read_text()) | more))
    assert 'mean of 2 seeds' in render_table(load_records(stopped))
    (tmp_path / 'empty').mkdir()
    with pytest.raises(SystemExit):
        run_tool(monkeypatch, tmp_path / 'empty', '--tables', tmp_path / 'tables')
