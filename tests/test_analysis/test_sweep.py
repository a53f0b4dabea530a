"""Scores over a setting: what is drawn, read back from the axes."""

import json
import math
import statistics

from mmdet_ir.analysis.sweep import PANELS, plot_sweep, read_sweep, summarise, sweep_figure

import numpy as np
import pytest


def scores(base: float) -> dict:
    """All different, so that mixed-up panels would show."""
    return {column: base + 0.01 * i for i, column in enumerate(PANELS)} | {'mAPl': None, 'targets': 7}


POINTS = {1.0: [scores(0.30)], 0.0: [scores(0.20), scores(0.26), scores(0.23)], 0.25: [scores(0.5), scores(0.4)]}


def panel(figure, column):
    return next(ax for ax in figure.axes if ax.get_title(loc='left').split()[:1] == [column])


def lines(axes, label):
    return [line for line in axes.lines if line.get_label() == label]


@pytest.fixture
def figure():
    return sweep_figure(POINTS, 'focal exponent', paper_best=0.5, wanted=[0, 0.25, 0.5, 1])


@pytest.mark.parametrize('column', [column for column in PANELS if column != 'mAPl'])
def test_points_bars_and_runs(figure, column):
    axes = panel(figure, column)
    factor = 1 if column == 'Recall' else 100
    expected = {value: [factor * run[column] for run in runs] for value, runs in POINTS.items()}
    (means,) = lines(axes, '_means')
    np.testing.assert_array_equal(means.get_xdata(), [0, 0.25, 0.5, 1])
    wanted = [statistics.mean(expected[0.0]), statistics.mean(expected[0.25]), math.nan, expected[1.0][0]]
    np.testing.assert_allclose(means.get_ydata(), wanted)  # broken at 0.5
    drawn = {float(line.get_xdata()[0]): sorted(line.get_ydata()) for line in lines(axes, '_runs')}
    assert drawn.keys() == {0.0, 0.25}
    for value, ys in drawn.items():
        np.testing.assert_allclose(ys, sorted(expected[value]))
    bars = {}
    for container in axes.containers:
        ((x, low), (_, high)) = container.lines[2][0].get_segments()[0]
        bars[x] = (low, high)
    assert bars.keys() == {0.0, 0.25}  # none for a single run
    for value, (low, high) in bars.items():
        middle, spread = statistics.mean(expected[value]), statistics.stdev(expected[value])
        np.testing.assert_allclose([low, high], [middle - spread, middle + spread])
    (single,) = lines(axes, '_single')
    assert single.get_xdata()[0] == 1.0 and single.get_markerfacecolor() == 'white'
    np.testing.assert_allclose(single.get_ydata(), expected[1.0])


def test_what_was_not_run_is_absent_and_said(figure):
    axes = panel(figure, 'mAPm')
    assert [line.get_xdata()[0] for line in lines(axes, '_not run')] == [0.5]
    assert [line.get_xdata()[0] for line in lines(axes, '_paper')] == [0.5]
    assert [label.get_text() for label in axes.get_xticklabels()] == ['0\nn=3', '0.25\nn=2', '0.5\nn=0', '1\nn=1']
    assert axes.get_xlabel() == 'focal exponent'
    key = [text.get_text() for ax in figure.axes if ax.get_legend() for text in ax.get_legend().get_texts()]
    assert 'not run (n=0)' in key and "the paper's best, 0.5" in key and 'a single run' in key


def test_key_names_only_what_is_there():
    figure = sweep_figure({0: [scores(0.2)], 1: [scores(0.3)]}, 'x')
    key = [text.get_text() for ax in figure.axes if ax.get_legend() for text in ax.get_legend().get_texts()]
    assert key == ['a single run']


def test_score_without_targets_has_no_points(figure):
    axes = panel(figure, 'mAPl')
    assert not axes.lines and [text.get_text() for text in axes.texts] == ['no targets\nof this size']


def test_summary_leaves_unknown_out():
    assert summarise([1.0, None, 4.0]) == (2, 2.5, pytest.approx(3 / math.sqrt(2)))
    assert summarise([2.0]) == (1, 2.0, None)
    count, mean, spread = summarise([None])
    assert count == 0 and math.isnan(mean) and spread is None


def test_mistakes_are_named(tmp_path):
    with pytest.raises(ValueError, match='at least one run of the sweep over x, got none'):
        sweep_figure({0.5: []}, 'x')
    with pytest.raises(ValueError, match='run at 0.5: expected the scores .* got none for Recall'):
        sweep_figure({0.5: [{'mAP': 0.1}]}, 'x')
    with pytest.raises(ValueError, match=r'fig\.xyz'):
        plot_sweep(POINTS, tmp_path / 'fig.xyz', 'x')
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(('name', 'magic'), [('a.png', b'\x89PNG'), ('b.pdf', b'%PDF'), ('c.svg', b'<?xml')])
def test_ending_decides_the_format(tmp_path, name, magic):
    plot_sweep(POINTS, tmp_path / 'new' / name, 'x')
    assert [path.name for path in (tmp_path / 'new').iterdir()] == [name]
    assert (tmp_path / 'new' / name).read_bytes().startswith(magic)


@pytest.fixture
def record(tmp_path):
    def write(name, seed, base=0.2, test='t', epochs=6, iterations=600, **others):
        content = {
            'kind': 'run',
            'seed': seed,
            'data': {'train': [{'sha256': 'a'}], 'test': [{'sha256': test}]},
            'training': {'epochs': epochs, 'iterations': iterations},
            'metrics': {'segm': {'all': scores(base), 'car': scores(0.9)}},
        }
        (tmp_path / name).write_text(json.dumps(content | others))
        return tmp_path / name

    return write


def test_records_are_grouped_by_value(record):
    points = read_sweep([(record('a', 0, 0.1), 0.5), (record('b', 0, 0.2), 0), (record('c', 1, 0.3), 0.5)])
    assert {value: [run['Recall'] for run in runs] for value, runs in points.items()} == {0.5: [0.1, 0.3], 0: [0.2]}


def test_records_that_do_not_belong_together_are_refused(record, tmp_path):
    first = (record('a', 0), 0.5)
    with pytest.raises(ValueError, match='b: expected the test data of .*a, got'):
        read_sweep([first, (record('b', 1, test='other'), 0.5)])
    with pytest.raises(ValueError, match='b: expected the epochs of .*a, got 7 instead of 6'):
        read_sweep([first, (record('b', 1, epochs=7), 0.5)])
    counted = (record('c', 0, epochs=0, iterations=2000), 0.5)  # a training in iterations
    with pytest.raises(ValueError, match='d: expected the iterations of .*c, got 6000 instead of 2000'):
        read_sweep([counted, (record('d', 1, epochs=0, iterations=6000), 0.5)])
    with pytest.raises(ValueError, match='b: expected another seed than that of .*a, got 0 for both at 0.5'):
        read_sweep([first, (record('b', 0), 0.5)])
    with pytest.raises(ValueError, match='a: expected another seed'):
        read_sweep([first, first])
    with pytest.raises(ValueError, match=r'a: expected a record with metrics\.bbox, got none'):
        read_sweep([first], 'bbox')
    with pytest.raises(ValueError, match='b: expected the record of a run'):
        read_sweep([(record('b', 0, kind='other'), 0)])
    with pytest.raises(FileNotFoundError, match='record not found'):
        read_sweep([(tmp_path / 'none.json', 0)])
