"""Hand-made tables and records of runs for the tests of tables."""

import copy

from mmdet_ir.experiments.cells import Table, TableRow

COLUMNS = ('mAP', 'Recall', 'mAP50', 'mAP75', 'mAPs', 'mAPm', 'mAPl')
TABLE1 = Table(
    'table1',
    'BNSA by stage (Table 1)',
    'table1_bnsa_stage',
    (TableRow('none', 'none', 'base.py'), TableRow('c3', 'C3', 'c3.py'), TableRow('c3_c4', 'C3 + C4', 'bnsa.py')),
)
TABLE4 = Table(
    'table4',
    'Models (Table 4)',
    'table4_models',
    (
        TableRow('mask_rcnn', 'Mask R-CNN', 'base.py'),
        TableRow('solov2', 'SOLOv2', 'solov2.py'),
        TableRow('ours', 'all', 'all.py'),
    ),
)
PARTS = Table(
    'parts',
    'Parts',
    None,
    (
        TableRow('none', 'baseline', 'base.py'),
        TableRow('bnsa', '+ BNSA', 'bnsa.py'),
        TableRow('ours', 'full_method & more', 'all.py'),
    ),
)
RECORD = {
    'kind': 'run',
    'provenance': 'measured',
    'title': 'any',
    'data_title': 'clips, derived masks',
    'config': 'base.py',
    'cell_sha256': 'base',
    'config_overrides': {},
    'size': 'cpu',
    'data_name': 'real',
    'seed': 0,
    'commit': '0123456789abcdef',
    'dirty': False,
    'hardware': {'cpu': 'Some CPU', 'cores': 2, 'gpus': []},
    'precision': 'bfloat16',
    'data': {
        'train': [{'ann_file': 'train.json', 'sha256': 'aa', 'images': 80}],
        'test': [{'ann_file': 'val.json', 'sha256': 'bb', 'images': 20}],
    },
    'training': {'iterations': 400, 'batch_size': 4, 'wall_time_seconds': 1800.0},
    'parameters': 4000000,
    'tested_images': 20,
}


def make_record(config: str, seed: int, scores: float | dict[str, float | None], **changes: object) -> dict:
    """A run whose columns are all ``scores``, or as the dictionary says and otherwise 0.5; entries can be replaced."""
    row = dict.fromkeys(COLUMNS, scores) if isinstance(scores, float) else dict.fromkeys(COLUMNS, 0.5) | scores
    record = copy.deepcopy(RECORD) | {'config': config, 'cell_sha256': config, 'seed': seed}
    record |= {'file': f'{config}_{seed}.json', 'metrics': {'segm': {'all': row}}}
    record['config_overrides'] = {'randomness.seed': seed} if seed else {}
    return record | changes


def study() -> list[dict]:
    """Three runs of the baseline, two with BNSA, one of the full method; mAP 20, 22, 24; 25, 23; 30."""
    runs = [make_record('base.py', seed, {'mAP': 0.20 + 0.02 * seed, 'mAPl': None}) for seed in range(3)]
    runs += [make_record('bnsa.py', seed, {'mAP': 0.25 - 0.02 * seed, 'mAPl': None}) for seed in range(2)]
    return [*runs, make_record('all.py', 0, {'mAP': 0.30, 'Recall': 0.625, 'mAPl': None}, parameters=4046091)]
