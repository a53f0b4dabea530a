"""The summary figure: what stands in it, against records whose gains are worked out by hand."""

from mmdet_ir.analysis.gains_figure import gain_lines, gains_figure, plot_gains
from mmdet_ir.experiments.paper_tables import fill_tables, paper_gain_by_config, study_runs

import pytest
from table_records import PARTS, TABLE1, make_record


@pytest.fixture
def tables():
    records = [make_record('base.py', seed, {'mAP': score}) for seed, score in enumerate((0.20, 0.22, 0.24))]
    records += [make_record('bnsa.py', seed, {'mAP': score}) for seed, score in enumerate((0.21, 0.22, 0.26))]
    records.append(make_record('all.py', 0, {'mAP': 0.27}))
    return fill_tables([TABLE1, PARTS], study_runs(records))


def test_each_cell_stands_once_with_its_gain_and_the_papers(tables):
    lines = gain_lines(tables, paper_gain_by_config([TABLE1, PARTS]))
    assert [(line.title, line.heading, line.runs) for line in lines] == [
        ('BNSA by stage (Table 1), over none', True, 0),
        ('C3', False, 0),
        ('C3 + C4', False, 3),
        ('Parts, over baseline', True, 0),
        ('full_method & more', False, 1),
    ]
    _, c3, bnsa, _, full = lines
    assert c3.here is None and c3.paper == 1.522
    assert bnsa.here.value == pytest.approx(1) and bnsa.here.error == pytest.approx(3**-0.5) and bnsa.paper == 2.183
    assert full.here.value == pytest.approx(27 - 20) and full.here.error is None and full.paper is None


def test_points_and_bars_are_where_the_gains_are(tables):
    figure = gains_figure(gain_lines(tables, {}), 'clips')
    axes = figure.axes[0]
    paper = [line.get_xydata().tolist() for line in axes.lines if line.get_marker() == 'D']
    assert [point for point in paper if point] == [[[1.522, 1]], [[2.183, 2]]]
    [bar] = [c for c in axes.containers if len(c.lines[0].get_xdata())]
    [segment] = bar.lines[2][0].get_segments()
    assert segment[:, 0] == pytest.approx([1 - 2 / 3**0.5, 1 + 2 / 3**0.5]) and segment[:, 1].tolist() == [2, 2]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[1:3] == ['C3   not run', 'C3 + C4   n=3']
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        'here, n seeds, ± 2 standard errors',
        'here, one seed of this cell',
        'paper',
    ]


def test_the_figure_is_written_and_nothing_without_a_table(tables, tmp_path):
    plot_gains(tables, [TABLE1, PARTS], tmp_path / 'new' / 'gains.svg')
    assert '<svg' in (tmp_path / 'new' / 'gains.svg').read_text()
    with pytest.raises(ValueError, match='at least one table with a run'):
        plot_gains([], [TABLE1], tmp_path / 'none.svg')
    assert not (tmp_path / 'none.svg').exists()
