"""Tables as data: every cell is there, is named as in the paper, and is the same method at every size."""

from copy import deepcopy
from functools import cache
from pathlib import Path

import mmdet_ir  # noqa: F401
from mmdet_ir.experiments.cells import load_figures, load_sizes, load_tables, rebased_config
from mmdet_ir.experiments.jobs import Job
from mmdet_ir.experiments.reproduce import Plan
from mmdet_ir.experiments.tables import PAPER_RESULTS

import pytest
import torch
import yaml
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

ROOT = Path(__file__).parents[2]
TABLES = load_tables()
CPU, SCRATCH = load_sizes()['cpu'], load_sizes()['scratch']['real']


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_rows_are_the_papers():
    paper = yaml.safe_load(PAPER_RESULTS.read_text())
    for table in TABLES.values():
        if table.paper is not None:
            rows = [row.name for row in table.rows if '(not in the paper)' not in row.title]
            assert rows == list(paper[table.paper])
    assert [float(row.name) for row in TABLES['fig9'].rows] == [0, 0.25, 0.5, 0.75, 1.0]
    assert {row.name for row in load_figures()['fig10']} == {*paper['table4_models'], 'yolact', 'rtmdet_ins'}


def test_every_cell_is_one_file_with_a_name_of_its_own():
    configs = {row.config for table in TABLES.values() for row in table.rows}
    assert all(Path(config).is_file() for config in configs)
    for data_sets in load_sizes().values():
        for data in data_sets.values():  # records and work folders of a data set have the names of their configs
            rows = {row.config for name, table in TABLES.items() if name not in data.without for row in table.rows}
            assert len({Path(config).stem for config in rows}) == len(rows)
    ablations = {path.as_posix() for path in Path('configs/ablation').glob('*/*.py')}
    sizes = [*Path('configs/ablation/cpu').glob('*.py'), *Path('configs/ablation/study').glob('*.py')]
    assert ablations - configs == {path.as_posix() for path in sizes}


def test_every_cell_of_the_paper_is_run_once():
    """Table 5's configs have the names of Table 4's: they once took each other's records."""
    jobs = Plan('paper').jobs()
    assert len({job.record for job in jobs}) == len({job.work_dir for job in jobs}) == len(jobs)
    ladder = {row.config for row in TABLES['ladder'].rows}
    cells = {row.config for name, table in TABLES.items() if name != 'ladder' for row in table.rows}
    assert {job.row.config for job in jobs} == cells and ladder - cells
    (flir,) = {job.record.parent.name for job in jobs if job.row.config.startswith('configs/flir/')}
    assert flir == 'flir'
    assert {job.record.parent.name for job in jobs if not job.row.config.startswith('configs/flir/')} == {'ir'}


def cell(table: str, row: str) -> str:
    return next(r.config for r in TABLES[table].rows if r.name == row)


# What each cell must differ in from the baseline, told from the paper.
STAGES = {'none': None, 'c2': (0,), 'c3': (1,), 'c4': (2,), 'c5': (3,), 'c3_c4': (1, 2)}
BOX_LOSSES = {
    'smooth_l1': ('SmoothL1Loss', None),
    'ciou': ('FocalCIoULoss', 0),
    'eiou': ('FocalEIoULoss', 0),
    'siou': ('FocalSIoULoss', 0),
    'focal_ciou': ('FocalCIoULoss', 0.5),
    'focal_eiou': ('FocalEIoULoss', 0.5),
    'focal_siou': ('FocalSIoULoss', 0.5),
}
MASK_LOSSES = {'mbce': None, 'mbce_dice': (1, 1, 0), 'mbce_dice_ls': (1, 1, 0.1)}


@cache
def read_cell(config: str, data: str) -> Config:
    return Config.fromfile(config) if data == 'paper' else rebased_config(config, CPU[data].bases)


@pytest.mark.parametrize('data', ['paper', 'real'])
def test_cells_are_what_the_paper_compares(data):
    def read(config: str) -> Config:
        return read_cell(config, data)

    init_default_scope('mmdet')
    base = read('configs/ir/mask_rcnn.py')
    for row, stages in STAGES.items():
        model = read(cell('table1', row)).model
        plugged = model.neck.get('plugin_stages') if model.neck.get('plugin') else None
        assert plugged == stages
        assert model.neck.in_channels == base.model.neck.in_channels and model.roi_head == base.model.roi_head
    for row, (loss, gamma) in BOX_LOSSES.items():
        model = read(cell('table2', row)).model
        loss_bbox = model.roi_head.bbox_head.loss_bbox
        assert (loss_bbox.type, loss_bbox.get('gamma')) == (loss, gamma)
        assert model.roi_head.bbox_head.get('reg_decoded_bbox', False) == (gamma is not None)
        assert model.neck == base.model.neck and model.rpn_head == base.model.rpn_head
    for row, weights in MASK_LOSSES.items():
        mask_head = MODELS.build(read(cell('table3', row)).model.roi_head.mask_head)
        loss = mask_head.loss_mask
        if weights is None:
            assert loss.use_mask
        else:
            assert (loss.bce_weight, loss.dice_weight, loss.lovasz_weight) == weights
    for row in TABLES['fig9'].rows:
        assert read(row.config).model.roi_head.bbox_head.loss_bbox.gamma == float(row.name)
    for key in ('train_dataloader', 'optim_wrapper', 'train_cfg', 'load_from'):
        for name in ('table1', 'table2', 'table3', 'parts', 'plugins', 'focal_weight', 'fig9'):
            assert all(read(row.config)[key] == base[key] for row in TABLES[name].rows)


def test_rebasing_is_inheritance(tmp_path):
    """Against the same settings written by hand on top of the other base."""
    small = (ROOT / 'configs/ablation/cpu/mask_rcnn_real.py').as_posix()
    by_hand = tmp_path / 'by_hand.py'
    by_hand.write_text(f"""
_base_ = '{small}'
model = dict(
    neck=dict(type='PluginFPN', plugin=dict(type='BNSA', reduction=4), plugin_stages=(1, 2)),
    roi_head=dict(
        bbox_head=dict(reg_decoded_bbox=True, loss_bbox=dict(type='FocalSIoULoss', gamma=0.5, loss_weight=10.0)),
        mask_head=dict(loss_mask=dict(_delete_=True, type='MBCEDiceLovaszLoss'))))
""")
    ours = rebased_config('configs/ir/mask_rcnn_bnsa_focalsiou_mbcedicels.py', {'configs/ir/mask_rcnn.py': small})
    assert ours.to_dict() == Config.fromfile(by_hand).to_dict()


def test_rebasing_needs_a_named_base():
    with pytest.raises(ValueError, match='configs/baselines/solov2_r50_fpn.py: expected a config that inherits from'):
        rebased_config('configs/baselines/solov2_r50_fpn.py', {'configs/ir/mask_rcnn.py': 'x.py'})


def test_every_cell_builds_at_cpu_size():
    init_default_scope('mmdet')
    for data in (CPU['real'], SCRATCH):
        for config in sorted({r.config for t in TABLES.values() if t.name not in data.without for r in t.rows}):
            model = MODELS.build(deepcopy(rebased_config(config, data.bases).model))
            assert sum(p.numel() for p in model.parameters()) < 6e6


def test_rivals_start_and_learn_as_the_baseline_does():
    """A table of models compares nothing else: same data, steps and optimiser, no weights from elsewhere.

    But that a crop of YOLACT has a target.
    """
    assert SCRATCH.first is None and set(SCRATCH.without) == set(TABLES) - {'table4'}
    base, *others = [rebased_config(row.config, SCRATCH.bases) for row in TABLES['table4'].rows]
    ours = rebased_config(TABLES['table4'].rows[-1].config, SCRATCH.bases)
    assert ours.model == read_cell(TABLES['table4'].rows[-1].config, 'real').model
    for other in others:
        for key in ('optim_wrapper', 'param_scheduler', 'train_cfg', 'load_from', 'test_dataloader'):
            assert other[key] == base[key]
        loaders = [deepcopy(config.train_dataloader) for config in (base, other)]
        for loader in loaders:  # BoxInst reads no masks, and YOLACT's loss takes no empty crops
            for step in loader.dataset.pipeline:
                step.pop('with_mask', None)
                if other.model.type == 'YOLACT':
                    step.pop('allow_negative_crop', None)
        assert loaders[0] == loaders[1]
    assert base.load_from is None and base.model.backbone.init_cfg is None


def test_cells_differ_in_the_same_way_on_either_data_set():
    config = 'configs/ir/mask_rcnn_bnsa_focalsiou_mbcedicels.py'
    assert read_cell(config, 'synthetic').model == read_cell(config, 'real').model
    assert CPU['real'].without == CPU['synthetic'].without == ('table4', 'table5', 'ladder')


def test_the_ladder_is_that_of_the_protocol_and_its_last_rung_a_recipe_of_its_own(tmp_path):
    rungs = yaml.safe_load((ROOT / 'mmdet_ir/experiments/protocol.yaml').read_text())['ladder']
    assert [row.config for row in TABLES['ladder'].rows] == [rung['config'] for rung in rungs]
    assert [row.title.rpartition('(')[2] for row in TABLES['ladder'].rows] == [
        'paper)' if rung['of'] == 'paper' else 'ours)' for rung in rungs
    ]
    last = Job(TABLES['ladder'].rows[-1], load_sizes()['study']['real'], 0, tmp_path, tmp_path).config()
    own = Config.fromfile(TABLES['ladder'].rows[-1].config)
    assert last.train_dataloader == own.train_dataloader and last.train_cfg == own.train_cfg
    assert last.load_from == 'results/starts/plain.pth'


@pytest.mark.parametrize(
    ('table', 'row', 'start'),
    [
        ('parts', 'none', 'plain'),
        ('parts', 'focal_siou_mask_loss', 'plain'),
        ('parts', 'bnsa', 'bnsa'),
        ('parts', 'ours', 'bnsa'),
        ('table1', 'c2', 'plain'),
        ('plugins', 'ours_residual', 'plain'),
    ],
)
def test_a_cell_of_the_study_starts_from_the_weights_with_its_neck(table, row, start, tmp_path):
    config = next(r for r in TABLES[table].rows if r.name == row)
    cfg = Job(config, load_sizes()['study']['real'], 0, tmp_path, tmp_path).config()
    assert cfg.load_from == f'results/starts/{start}.pth'
    weights = torch.load(cfg.load_from, weights_only=True)['state_dict']
    assert Path(cfg.load_from).stat().st_size < 9e6 and weights['backbone.conv1.weight'].dtype == torch.float16
    assert any('plugin' in name for name in weights) == (start == 'bnsa')
