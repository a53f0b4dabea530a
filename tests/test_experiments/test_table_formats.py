import csv
import io
import re
import shutil
import subprocess

from mmdet_ir.experiments.cells import Table, TableRow
from mmdet_ir.experiments.paper_tables import fill_table, fill_tables, paper_gain_by_config, study_runs
from mmdet_ir.experiments.table_formats import (
    escape_latex,
    render_all_markdown,
    render_csv,
    render_latex,
    render_markdown,
    render_study,
    signed,
)

import pytest
from table_records import PARTS, TABLE1, TABLE4, make_record, study


def filled(table, records=None, size='cpu'):
    return fill_table(table, study_runs(study() if records is None else records), size, 'real')


def rows(text):
    """Cells of all Markdown tables, without the lines below the headers."""
    lines = [line for line in text.splitlines() if line.startswith('|') and not line.startswith('|---')]
    return [[cell.strip() for cell in re.split(r'(?<!\\)\|', line)[1:-1]] for line in lines]


def test_small_models_stand_beside_the_papers_gains():
    scores, gains = render_markdown(filled(TABLE1)).split('Gain over the first row (none), here and in the paper:')
    header, none, c3, c3_c4 = rows(scores)
    assert header == ['', 'n', 'mAP', 'Recall', 'mAP50', 'mAP75', 'mAPs', 'mAPm', 'mAPl']
    assert none[:4] == ['none', '3', '22.000 ± 2.000', '**0.500** ± 0.000'] and none[-1] == '-'
    assert c3 == ['C3', '0', *['not run'] * 7]
    assert c3_c4[:3] == ['C3 + C4', '2', '**24.000** ± 1.414']
    header, c3, c3_paper, c3_c4, c3_c4_paper = rows(gains)
    assert c3 == ['C3', 'here', *['not run'] * 7]
    assert c3_paper[:4] == ['', 'paper', '+1.522', '+0.012'] and c3_paper[-1] == '-0.463'
    assert c3_c4[:4] == ['C3 + C4', 'here', '(+3.000 ± 2.000)', '(+0.000 ± 0.000)'] and c3_c4[-1] == '-'
    assert c3_c4_paper[:4] == ['', 'paper', '+2.183', '+0.014']


def test_at_the_papers_size_values_are_compared():
    records = [make_record('base.py', 0, {'mAP': 0.64, 'mAPl': None}, size='paper', data_name='real')]
    text = render_markdown(filled(TABLE4, records, 'paper'))
    header, here, paper, *_, missing, _ = rows(text.split("Beside the paper's values:")[1])
    assert header[2:4] == ['mAP', 'Recall'] and header[-1] == 'Params (M)'
    assert here[:4] == ['Mask R-CNN', 'here - paper', '-0.602', '-0.193']  # 64 - 64.602, 0.5 - 0.693
    assert here[-2:] == ['-', '-40.343']  # 4 - 44.343
    assert paper[:3] == ['', 'paper', '64.602'] and paper[-2:] == ['77.225', '44.343']
    assert missing[:3] == ['all', 'here - paper', 'not run']


def test_a_table_beyond_the_paper_has_gains_only():
    text = render_markdown(filled(PARTS))
    gains = rows(text.split('Gain over the first row (baseline):')[1])
    assert [line[:2] for line in gains] == [
        ['', 'mAP'],
        ['+ BNSA', '(+3.000 ± 2.000)'],
        ['full_method & more', '+10.000'],
    ]
    assert 'paper' not in text


def test_without_a_run_of_the_first_row_there_is_no_gain():
    gains = rows(render_markdown(filled(PARTS, study()[3:5])).split('Gain over')[1])
    assert [line[1] for line in gains[1:]] == ['no baseline', 'not run']


def test_best_row_of_a_sweep_is_told():
    sweep = Table(
        'fig9', 'Exponent', 'fig9_focal_gamma', (TableRow('0', '0', 'base.py'), TableRow('0.5', '0.5', 'all.py'))
    )
    assert 'Of the paper only the best row is known: 0.5.' in render_markdown(filled(sweep))


def test_warnings_are_visible():
    records = [*study(), make_record('solov2.py', 0, 0.5, precision='float32')]
    warning = 'precision not the same in all rows: Mask R-CNN, all against SOLOv2.'
    assert f'**Warning:** {warning}' in render_markdown(filled(TABLE4, records))
    assert f'Warning: {warning}' in render_latex(filled(TABLE4, records))


def test_all_tables_are_in_sections():
    records = [*study(), make_record('base.py', 0, 0.5, data_name='syn', data_title='scenes')]
    text = render_all_markdown(fill_tables([TABLE1, PARTS], study_runs(records)))
    assert re.findall(r'^##+ .*', text, re.M) == [
        '## Small models, 2,000 steps',
        '## Small models, 400 steps: clips, derived masks',
        '### BNSA by stage (Table 1)',
        '### Parts',
        '## Small models, 400 steps: scenes',
        '### BNSA by stage (Table 1)',
        '### Parts',
        '## Small models from scratch',
        "## The paper's size",
    ]
    assert text.endswith("## The paper's size\n\nNot run.")


def test_compact_table_of_what_each_part_gains_on_all_data():
    records = [*study(), make_record('base.py', 0, 0.5, data_name='syn', data_title='scenes')]
    records.append(make_record('all.py', 0, 0.25, data_name='syn', data_title='scenes'))
    tables = [TABLE1, PARTS, TABLE4]
    text = render_study(fill_tables(tables, study_runs(records)), paper_gain_by_config(tables))
    assert rows(text) == [
        ['', 'mAP, clips, derived masks', 'gain', 'mAP, scenes', 'gain', "gain in the paper's mAP"],
        ['baseline', '22.000 ± 2.000', '', '50.000', '', ''],
        ['+ BNSA', '24.000 ± 1.414', '(+3.000 ± 2.000)', 'not run', 'not run', '+2.183'],
        ['full_method & more', '30.000', '+10.000', '25.000', '-25.000', '+3.858'],
    ]
    assert 'seeds 0, 1, 2' in text and 'scenes: trained on train.json (80 images)' in text
    assert render_study([], {}) == 'Not run.'


def test_a_bar_in_a_title_does_not_end_the_cell():
    table = Table('t', 'T', None, (TableRow('a', 'a | b', 'base.py'),))
    assert rows(render_markdown(filled(table)))[1][0] == r'a \| b'


def test_latex_prints_titles_as_they_stand():
    assert escape_latex(r'a_b & 50% #1 {x} $y$ \z ~ ^') == (
        r'a\_b \& 50\% \#1 \{x\} \$y\$ \textbackslash{}z \textasciitilde{} \textasciicircum{}'
    )
    assert escape_latex('n < 3 ± γ') == r'n $<$ 3 $\pm$ $\gamma$'


def test_latex_table():
    text = render_latex(filled(PARTS))
    assert r'full\_method \& more & 1 & \textbf{30.000} & \textbf{0.625}' in text
    assert r'baseline & 3 & 22.000{\tiny$\pm$2.000}' in text
    assert r'+ BNSA & ($+3.000${\tiny$\pm$2.000}) & ($+0.000$' in text
    assert r'\caption{Parts. Small models, 400 steps: clips, derived masks.}' in text
    assert r'\label{tab:parts-cpu-real}' in text
    assert text.count('{') == text.count('}') and text.count(r'\begin') == text.count(r'\end')
    for tabular in re.findall(r'\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}', text, re.S):
        lines = [line for line in tabular[1].splitlines() if line.endswith(r'\\')]
        assert {len(re.findall(r'(?<!\\)&', line)) + 1 for line in lines} == {len(tabular[0])}
        assert [rule in tabular[1] for rule in (r'\toprule', r'\midrule', r'\bottomrule')] == [True] * 3


@pytest.mark.skipif(shutil.which('pdflatex') is None, reason='needs pdflatex')
def test_latex_sets_the_tables(tmp_path):
    tables = [render_latex(filled(table)) for table in (PARTS, TABLE1, TABLE4)]
    text = '\n'.join(
        [
            r'\documentclass{article}\usepackage{booktabs}\begin{document}',
            escape_latex(r'a_b & 50% #1 {x} $y$ \z ~ ^ < ± γ'),
            *tables,
            r'\end{document}',
        ]
    )
    (tmp_path / 'tables.tex').write_text(text, encoding='utf-8')
    command = ['pdflatex', '-interaction=nonstopmode', '-halt-on-error', 'tables.tex']
    done = subprocess.run(command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    assert done.returncode == 0 and (tmp_path / 'tables.pdf').stat().st_size > 10000, done.stdout[-2000:]


def test_csv_gives_back_the_unrounded_numbers():
    records = [make_record('base.py', s, {'mAP': v, 'mAPl': None}) for s, v in enumerate((0.1234567891, 0.3))]
    lines = list(csv.DictReader(io.StringIO(render_csv(filled(TABLE1, [*records, *study()[3:5]])))))
    assert len(lines) == 3 * 7
    by_cell = {(line['row'], line['column']): line for line in lines}
    none, missing, bnsa = (by_cell[name, 'mAP'] for name in ('none', 'c3', 'c3_c4'))
    assert float(none['mean']) == pytest.approx(21.172839455, abs=1e-12)  # (12.34567891 + 30) / 2
    assert float(none['std']) == pytest.approx(17.65432109 / 2**0.5, abs=1e-12)  # of two: |a - b| / sqrt(2)
    assert (none['n'], none['seeds'], none['paper'], none['gain'], none['paper_gain']) == ('2', '0 1', '63.4', '', '')
    assert (missing['n'], missing['mean'], missing['std'], missing['gain']) == ('0', '', '', '')
    assert (missing['paper'], missing['paper_gain']) == ('64.922', '1.522')
    assert float(bnsa['gain']) == pytest.approx(24 - 21.172839455)
    # (differences of equal seeds: 25 - 12.34567891 and 23 - 30; of two, |a - b| / 2)
    assert float(bnsa['gain_standard_error']) == pytest.approx(19.65432109 / 2)
    assert (bnsa['title'], bnsa['config'], bnsa['size'], bnsa['data']) == ('C3 + C4', 'bnsa.py', 'cpu', 'real')
    assert by_cell['c3_c4', 'mAPl']['mean'] == '' and by_cell['c3_c4', 'mAPl']['paper'] == '77.997'


def test_signs():
    assert [signed(v) for v in (1.0004, -1.5, -0.0001, 0.0)] == ['+1.000', '-1.500', '+0.000', '+0.000']
