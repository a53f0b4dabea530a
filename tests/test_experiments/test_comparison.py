"""Means, deviations and gains of experiments, against values worked out by hand."""

import csv
import io
import json
import math
from pathlib import Path

from mmdet_ir.experiments.comparison import as_csv, as_latex, as_markdown, compare, read_group
from mmdet_ir.experiments.single_runs import by_data

import pytest

COLUMNS = ('mAP', 'Recall', 'mAP50', 'mAP75', 'mAPs', 'mAPm', 'mAPl')


def run(score: float, seed: int | None = None, targets: int = 10, test: str = 'a') -> dict:
    row = dict.fromkeys(COLUMNS, score) | {'mAPl': None, 'targets': targets}
    record = {'file': f'{score}.json', 'metrics': {'segm': {'all': row, 'fox': {**row, 'mAP': score / 2}}}}
    if seed is not None:
        record |= {'seed': seed, 'data': {'test': [{'sha256': test}]}}
    return record


A = [run(0.30, 0), run(0.32, 1), run(0.34, 2)]
B = [run(0.33, 1), run(0.32, 0), run(0.37, 2)]  # 2, 1 and 3 points better in pairs


def test_equal_seeds_are_compared_in_pairs() -> None:
    first, second = compare({'A': A, 'B': B})
    assert first.gains == {} and first.scores['mAP'] == pytest.approx([30, 32, 34])
    gain = second.gains['mAP']
    assert gain.paired and gain.value == pytest.approx(2) and gain.error == pytest.approx(1 / math.sqrt(3))
    assert gain.certain and 'mAPl' not in second.scores
    assert second.gains['Recall'].value == pytest.approx(0.02)


def test_other_seeds_are_compared_by_their_means() -> None:
    """Variances of 4 and 7 over three runs each."""
    others = [run(0.32, 5), run(0.33, 6), run(0.37, 7)]
    gain = compare({'A': A, 'B': others})[1].gains['mAP']
    assert not gain.paired and gain.value == pytest.approx(2) and gain.error == pytest.approx(math.sqrt(4 / 3 + 7 / 3))
    assert not gain.certain
    assert 'no difference' in as_markdown(compare({'A': A, 'B': others}))


def test_single_runs_have_no_error() -> None:
    lines = compare({'A': [run(0.3)], 'B': [run(0.4)]}, classes=True, paper=['mask_rcnn'])
    assert [(line.name, line.of) for line in lines[:4]] == [('A', 'all'), ('B', 'all'), ('A', 'fox'), ('B', 'fox')]
    assert lines[1].gains['mAP'].value == pytest.approx(10) and lines[3].gains['mAP'].value == pytest.approx(5)
    assert lines[1].gains['mAP'].error is None and not lines[1].gains['mAP'].certain
    assert lines[4].quoted and lines[4].scores['mAP'] == pytest.approx([64.602])  # the paper's Table 4


def test_formats() -> None:
    lines = compare({'A_1': A, 'B': B})
    rows = list(csv.DictReader(io.StringIO(as_csv(lines))))
    (row,) = (row for row in rows if row['experiment'] == 'B' and row['column'] == 'mAP')
    assert float(row['gain']) == pytest.approx(2) and row['paired'] == 'True' and row['n'] == '3'
    assert r'A\_1' in as_latex(lines) and as_latex(lines).count(r'\\') == 3
    assert '| A_1 | 3 | 32.00 ± 2.00 |' in as_markdown(lines)


@pytest.mark.parametrize(
    ('second', 'message'),
    [
        ([run(0.3, 0, targets=11)], 'same data'),
        ([run(0.3, 0, test='b')], 'same data'),
        ([run(0.3, 0), run(0.4, 0)], 'each seed once'),
        ([], 'at least one run'),
    ],
)
def test_what_cannot_be_compared(second: list[dict], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compare({'A': A, 'B': second})


def test_files_and_folders(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f'{number}.json').write_text(json.dumps(run(0.3, number)))
    assert [entry['seed'] for entry in read_group([tmp_path])] == [0, 1]
    further = json.loads(next(tmp_path.glob('*.json')).read_text()) | {'evaluator': 'again', 'seed': 7}
    (tmp_path / 'again.json').write_text(json.dumps(further))
    assert [entry['seed'] for entry in read_group([tmp_path])] == [0, 1]  # another metric of the same test
    assert [entry['seed'] for entry in read_group([tmp_path / 'again.json'])] == [7]
    assert [entry['seed'] for entry in read_group([tmp_path / 'ag*n.json'])] == [7]  # as behind NAME= in a shell
    named_twice = [tmp_path / '1.json', f'{tmp_path}/./1.json', f'{tmp_path}/*.json']
    assert sorted(entry['seed'] for entry in read_group(named_twice)) == [0, 1, 7]
    (tmp_path / '2.json').write_text('{"metrics": {"bbox": {}}}')
    with pytest.raises(ValueError, match=r'2\.json: expected the record of a run'):
        read_group([tmp_path])
    with pytest.raises(FileNotFoundError, match='nowhere'):
        read_group([tmp_path / 'nowhere'])
    (tmp_path / '2.json').write_text('{"metrics": null}')
    with pytest.raises(ValueError, match=r'2\.json: expected the record of a run'):
        read_group([tmp_path / '2.json'])


def metrics(folder: Path, name: str, iteration: int | None, **changes: object) -> Path:
    """As IRCocoMetric leaves it, beside the log of MMEngine."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {'ann_file': 'val.json', 'images': 5, 'iteration': iteration, 'metrics': run(0.3)['metrics']} | changes
    (folder / name).write_text(json.dumps(content))
    return folder / name


def test_the_folder_of_a_test_holds_other_files_as_well(tmp_path: Path) -> None:
    folder = tmp_path / 'test' / '20250101_000000'
    file = metrics(folder, 'metrics_test.json', None)
    (folder / '20250101_000000.json').write_text('{"coco/segm_mAP": 0.3}')
    (folder / 'scalars.json').write_text('{"loss": 1}\n{"loss": 2}\n')
    assert [entry['file'] for entry in read_group([tmp_path / 'test'])] == [file.as_posix()]
    (folder / 'metrics_cut.json').write_text(file.read_text()[:40] + '\n')
    with pytest.raises(ValueError, match=r'metrics_cut\.json: expected JSON'):
        read_group([tmp_path / 'test'])
    (folder / 'metrics_cut.json').unlink()
    file.unlink()
    with pytest.raises(ValueError, match='test: expected records of runs or metrics files, found none'):
        read_group([tmp_path / 'test'])


def test_moments_of_one_training_are_no_seeds(tmp_path: Path) -> None:
    for iteration in (500, 1000):
        metrics(tmp_path, f'metrics_val_{iteration}.json', iteration)
    with pytest.raises(ValueError, match=r'several moments: .*metrics_val_1000\.json \(after 1000\).*name the file'):
        read_group([tmp_path])
    with pytest.raises(ValueError, match='several moments'):
        read_group([tmp_path / 'metrics_val_*.json'])
    assert len(read_group([tmp_path / 'metrics_val_500.json'])) == 1
    best = [metrics(tmp_path / str(seed), f'metrics_val_{100 + seed}.json', 100 + seed) for seed in (1, 2)]
    assert len(read_group(best)) == 2  # each training at its own best
    (tmp_path / '1' / 'record.json').write_text(json.dumps(run(0.3, 0)))  # of a test
    with pytest.raises(ValueError, match='several moments'):
        read_group([tmp_path / '1'])


@pytest.mark.parametrize('changes', [{'images': 4}, {'max_dets': 300}])
def test_other_images_and_other_numbers_of_detections_are_no_comparison(tmp_path: Path, changes: dict) -> None:
    one, other = metrics(tmp_path, 'a.json', None), metrics(tmp_path, 'b.json', None, **changes)
    with pytest.raises(ValueError, match=r'number of images and of detections that count \(max_dets\)'):
        compare({'A': read_group([one]), 'B': read_group([other])})


def test_the_paper_has_no_such_model() -> None:
    with pytest.raises(ValueError, match='--paper: expected models out of mask_rcnn, .*, got foo'):
        compare({'A': A}, paper=['foo'])


def test_three_configs_of_one_title_are_three_experiments() -> None:
    records = [
        record | {'title': 'Mine', 'data_title': 'D', 'config': f'exp{number}/config.py', 'seed': 0}
        for number, record in enumerate((run(0.1, 0), run(0.2, 0), run(0.3, 0)))
    ]
    lines = by_data(records)['D']
    assert {line.name: line.scores['mAP'] for line in lines} == {
        'Mine': [10.0],
        'Mine (config)': [20.0],
        'Mine (exp2/config.py)': [30.0],
    }


@pytest.mark.parametrize('changes', [{'tested_images': 4}, {'max_dets': 300}])
def test_seeds_that_were_tested_otherwise_are_not_averaged(changes: dict) -> None:
    shared = {'title': 'Mine', 'data_title': 'D', 'config': 'config.py', 'tested_images': 5}
    with pytest.raises(ValueError, match='number of'):
        by_data([run(0.1, 0) | shared, run(0.2, 1) | shared | changes])
