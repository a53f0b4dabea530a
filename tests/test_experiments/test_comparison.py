"""Means, deviations and gains of experiments, against values worked out by hand."""

import csv
import io
import json
import math
from pathlib import Path

from mmdet_ir.experiments.comparison import as_csv, as_latex, as_markdown, compare, read_group

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
    (tmp_path / '2.json').write_text('{"metrics": {"bbox": {}}}')
    with pytest.raises(ValueError, match=r'2\.json: expected the record of a run'):
        read_group([tmp_path])
    with pytest.raises(FileNotFoundError, match='nowhere'):
        read_group([tmp_path / 'nowhere'])
