import math

from mmdet_ir.experiments.cells import SizeData, Table, TableRow, load_sizes, load_tables
from mmdet_ir.experiments.paper_tables import (
    describe_runs,
    fill_table,
    fill_tables,
    paper_gain_by_config,
    study_runs,
    unlike_rows,
)

import pytest
from table_records import PARTS, TABLE1, TABLE4, make_record, study


@pytest.fixture
def parts():
    return fill_table(PARTS, study_runs(study()), 'cpu', 'real')


def test_mean_and_sample_deviation_over_seeds_in_the_papers_units(parts):
    none, bnsa, ours = parts.rows
    # 20, 22, 24: deviations -2, 0, 2, squares 8, over n - 1 = 2: 4
    assert none.scores['mAP'].mean == pytest.approx(22) and none.scores['mAP'].std == pytest.approx(2)
    # 25, 23: squares 2, over 1
    assert bnsa.scores['mAP'].mean == pytest.approx(24) and bnsa.scores['mAP'].std == pytest.approx(math.sqrt(2))
    assert [row.scores['mAP'].n for row in parts.rows] == [3, 2, 1]
    assert ours.scores['mAP'].mean == pytest.approx(30) and ours.scores['mAP'].std is None
    assert ours.scores['Recall'].mean == 0.625  # a fraction, as the paper prints it
    assert ours.scores['Params (M)'].mean == pytest.approx(4.046091) and none.scores['Params (M)'].std is None
    assert not any('mAPl' in row.scores for row in parts.rows)


def test_gain_over_the_first_row_with_its_standard_error(parts):
    none, bnsa, ours = parts.rows
    gain = parts.gain(bnsa, 'mAP')
    assert gain.value == pytest.approx(3) and gain.paired  # 25 - 20 and 23 - 22, the seeds that both have
    assert gain.error == pytest.approx(math.sqrt(8) / math.sqrt(2))
    assert parts.gain(ours, 'mAP').value == pytest.approx(30 - 20) and parts.gain(ours, 'mAP').error is None
    assert parts.gain(none, 'mAP') is None and parts.gain(ours, 'mAPl') is None
    assert parts.paper_gain(bnsa, 'mAP') is None and not parts.in_paper


def test_runs_of_equal_seeds_are_compared_in_pairs():
    records = [make_record('base.py', seed, {'mAP': score}) for seed, score in enumerate((0.20, 0.22, 0.24))]
    records += [make_record('bnsa.py', seed, {'mAP': score}) for seed, score in enumerate((0.21, 0.22, 0.26))]
    table = fill_table(PARTS, study_runs(records), 'cpu', 'real')
    gain = table.gain(table.rows[1], 'mAP')
    # differences 1, 0, 2: mean 1, deviation 1; the means' own deviations of 2 and 2.6 would give an error of 1.9
    assert gain.paired and gain.value == pytest.approx(1) and gain.error == pytest.approx(1 / math.sqrt(3))
    assert not gain.certain  # 1 is less than twice 0.58
    assert table.gain(table.rows[1], 'Recall').value == 0 and not table.gain(table.rows[1], 'Recall').certain


def test_runs_of_other_seeds_are_compared_by_their_means():
    records = [make_record('base.py', seed, {'mAP': score}) for seed, score in enumerate((0.20, 0.22, 0.24))]
    records += [make_record('bnsa.py', seed, {'mAP': score}) for seed, score in ((2, 0.23), (3, 0.25))]
    table = fill_table(PARTS, study_runs(records), 'cpu', 'real')
    gain = table.gain(table.rows[1], 'mAP')
    assert not gain.paired and gain.value == pytest.approx(24 - 22)
    assert gain.error == pytest.approx(math.sqrt(7 / 3))  # 2^2 / 3 + 2 / 2


def test_numbers_and_gains_of_the_paper_stand_beside():
    table = fill_table(TABLE1, study_runs(study()), 'cpu', 'real')
    none, c3, c3_c4 = table.rows
    assert c3.paper['mAP'] == 64.922 and c3.paper['Recall'] == 0.696 and c3.paper['mAPl'] == 75.102
    assert table.paper_gain(c3_c4, 'mAP') == 2.183  # 65.583 - 63.400
    assert table.paper_gain(c3, 'mAPl') == -0.463  # 75.102 - 75.565
    assert table.paper_gain(none, 'mAP') is None
    assert c3.runs == [] and c3.scores == {} and table.gain(c3, 'mAP') is None
    assert 'Params (M)' not in table.columns
    table4 = fill_table(TABLE4, study_runs(study()), 'cpu', 'real')
    assert table4.columns[-1] == 'Params (M)' and table4.paper_gain(table4.rows[2], 'Params (M)') == 9.522


def test_best_mean_of_a_column_only_where_there_is_a_choice(parts):
    assert parts.best('mAP') == pytest.approx(30)
    assert parts.best('mAPl') is None and parts.best('Params (M)') is None
    assert fill_table(PARTS, study_runs(study()[:3]), 'cpu', 'real').best('mAP') is None


def test_the_papers_gain_is_found_by_config_in_the_first_table_that_has_it():
    assert paper_gain_by_config([PARTS, TABLE1, TABLE4]) == {
        'c3.py': 1.522,  # 64.922 - 63.400
        'bnsa.py': 2.183,
        'solov2.py': -7.113,  # 57.489 - 64.602
        'all.py': 3.858,  # 68.460 - 64.602
    }


def test_every_table_of_the_project_can_be_filled():
    for table in load_tables().values():
        filled = fill_table(table, {}, 'paper', 'ir')
        assert [row.name for row in filled.rows] == [row.name for row in table.rows]
        assert filled.in_paper == (table.paper is not None and table.paper.startswith('table'))
    models = fill_table(load_tables()['table4'], {}, 'cpu', 'real').rows
    assert [row.name for row in models if 'mAP' not in row.paper] == ['yolact', 'rtmdet_ins']


def test_tables_without_runs_are_left_out_and_so_are_those_not_run_on_the_data():
    records = [*study(), make_record('solov2.py', 0, 0.5, data_name='synthetic', size='paper')]
    runs = study_runs(records)
    found = [(t.size, t.data, t.name) for t in fill_tables([TABLE1, TABLE4, PARTS], runs)]
    real = [('cpu', 'real', name) for name in ('table1', 'table4', 'parts')]
    assert found == [*real, ('paper', 'synthetic', 'table4')]
    real = SizeData('cpu', 'real', 'x', None, ('table4',), None, True)
    found = [t.name for t in fill_tables([TABLE1, TABLE4, PARTS], study_runs(study()), {'cpu': {'real': real}})]
    assert found == ['table1', 'parts']
    assert 'table4' in load_sizes()['cpu']['synthetic'].without


def test_records_without_a_size_fill_no_cell():
    record = make_record('base.py', 0, 0.5)
    del record['size']
    assert study_runs([record]) == {}


def test_only_the_seed_may_differ_between_the_runs_of_a_cell():
    first = make_record('base.py', 0, 0.5)
    amp = {'optim_wrapper.type': 'Bf16OptimWrapper'}
    study_runs(
        [
            first | {'config_overrides': amp},
            make_record('base.py', 1, 0.5) | {'config_overrides': amp | {'randomness.seed': 1}},
        ]
    )
    with pytest.raises(ValueError, match=r'base\.py_1\.json: expected the settings of base\.py_0\.json.*other'):
        study_runs([first, make_record('base.py', 1, 0.5, cell_sha256='other')])
    with pytest.raises(ValueError, match=r'expected the settings of .*optim_wrapper\.type'):
        study_runs([first, make_record('base.py', 1, 0.5, config_overrides=amp)])
    with pytest.raises(ValueError, match=r'expected the settings of .*4046091'):
        study_runs([first, make_record('base.py', 1, 0.5, parameters=4046091)])
    with pytest.raises(ValueError, match=r'base\.py_1\.json: expected the test data of .*base\.py.*got.*19'):
        study_runs([first, make_record('base.py', 1, 0.5, tested_images=19)])
    with pytest.raises(ValueError, match=r'expected the initial weights of .*base\.py.*got ab instead of None'):
        study_runs([first, make_record('base.py', 1, 0.5, initial_weights='ab')])
    data = {'train': [{'ann_file': 'train.json', 'sha256': 'cc', 'images': 80}], 'test': first['data']['test']}
    with pytest.raises(ValueError, match=r"expected the training data of .*got \['cc'\] instead of \['aa'\]"):
        study_runs([first, make_record('base.py', 1, 0.5, data=data)])
    # other data under another name is another cell
    assert len(study_runs([first, make_record('base.py', 1, 0.5, data=data, data_name='more')])) == 2


def test_two_runs_with_one_seed_are_refused():
    twin = make_record('base.py', 1, 0.25, file='twin.json')
    with pytest.raises(ValueError, match=r'twin\.json: expected another seed than that of base\.py_1\.json, got 1'):
        study_runs([*study(), twin])


def test_rows_tested_on_different_data_do_not_share_a_table():
    runs = study_runs([*study(), make_record('solov2.py', 0, 0.5, tested_images=19)])
    fill_table(PARTS, runs, 'cpu', 'real')
    with pytest.raises(ValueError, match=r'solov2\.py_0\.json: expected the test data of base\.py_0\.json.*table4'):
        fill_table(TABLE4, runs, 'cpu', 'real')


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'size': 'huge'}, "base.py_0.json: 'size': expected study, cpu, scratch or paper, got 'huge'"),
        ({'provenance': 'quoted'}, "'provenance': expected measured, got 'quoted'"),
        ({'metrics': {'bbox': {}}}, "'metrics.segm.all': expected mAP, Recall"),
        ({'seed': ...}, "base.py_0.json: expected 'seed' in the record"),
        ({'cell_sha256': ..., 'data': ...}, "base.py_0.json: expected 'cell_sha256', 'data' in the record"),
    ],
)
def test_a_record_that_lacks_something_is_named(change, message):
    record = {k: v for k, v in (make_record('base.py', 0, 0.5) | change).items() if v is not ...}
    with pytest.raises(ValueError) as error:
        study_runs([record])
    assert message in str(error.value)


def test_a_table_that_the_paper_lacks_is_named():
    with pytest.raises(ValueError, match="table wrong: 'paper': expected an entry of paper_results.yaml, got table9"):
        fill_table(Table('wrong', '', 'table9', (TableRow('a', 'a', 'a.py'),)), {}, 'cpu', 'real')


def test_what_was_run_is_told_below_the_table(parts):
    assert describe_runs(parts) == (
        'clips, derived masks: trained on train.json (80 images), tested on val.json (20 images). 6 runs, seeds 0, 1, '
        '2; 400 iterations of 4 images; bfloat16; Some CPU, 2 cores; training took 3.0 h in all; commit 0123456.'
    )
    gpus = {'cpu': 'c', 'cores': 8, 'gpus': ['Card', 'Card']}
    one = make_record('base.py', 4, 0.5, hardware=gpus, dirty=True)
    text = describe_runs(fill_table(PARTS, study_runs([one]), 'cpu', 'real'))
    assert (
        '1 run, seed 4;' in text and '2 x Card;' in text and text.endswith('commit 0123456 with uncommitted changes.')
    )


def test_rows_that_differ_in_more_than_the_part_are_warned_of(parts):
    assert unlike_rows(parts) == []
    longer = {'iterations': 900, 'batch_size': 4, 'wall_time_seconds': 1.0}
    runs = study_runs([*study(), make_record('solov2.py', 0, 0.5, training=longer, precision='float32')])
    assert unlike_rows(fill_table(TABLE4, runs, 'cpu', 'real')) == [
        'number of iterations not the same in all rows: Mask R-CNN, all against SOLOv2.',
        'precision not the same in all rows: Mask R-CNN, all against SOLOv2.',
    ]
    runs = study_runs([*study(), make_record('solov2.py', 0, 0.5, initial_weights='ab')])
    assert unlike_rows(fill_table(TABLE4, runs, 'cpu', 'real')) == [
        'initial weights not the same in all rows: Mask R-CNN, all against SOLOv2.'
    ]
    data = {'train': [{'ann_file': 'more.json', 'sha256': 'cc', 'images': 8}], 'test': study()[0]['data']['test']}
    runs = study_runs([*study(), make_record('solov2.py', 0, 0.5, data=data)])
    assert unlike_rows(fill_table(TABLE4, runs, 'cpu', 'real')) == [
        'training data not the same in all rows: Mask R-CNN, all against SOLOv2.'
    ]
