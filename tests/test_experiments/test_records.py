import hashlib
import json
import subprocess

from mmdet_ir.engine.environment import collect_environment, git_state
from mmdet_ir.experiments.records import (
    config_difference,
    count_parameters,
    data_fingerprint,
    make_record,
    save_record,
    training_sessions,
    wall_time,
)

import pytest
import torch
from mmengine.config import Config, ConfigDict


def test_difference_names_the_changed_settings():
    base = Config({'optim': {'lr': 0.1, 'momentum': 0.9}, 'hooks': [{'type': 'A'}], 'work_dir': 'a', 'old': 1})
    other = Config({'optim': {'lr': 0.2, 'momentum': 0.9}, 'hooks': [{'type': 'A'}], 'work_dir': 'b', 'new': {'x': 2}})
    assert config_difference(base, other) == {'optim.lr': 0.2, 'old': None, 'new.x': 2}
    assert config_difference(base, base) == {}


def test_fingerprint_of_plain_wrapped_and_concatenated_data(tmp_path):
    contents = {'a.json': {'images': [{'id': 1}, {'id': 2}]}, 'b.json': {'images': [{'id': 1}]}}
    for name, content in contents.items():
        (tmp_path / name).write_text(json.dumps(content))
    a = ConfigDict(type='IRDataset', data_root=str(tmp_path), ann_file='a.json')
    b = ConfigDict(type='IRDataset', ann_file=str(tmp_path / 'b.json'))
    expected_a = {
        'ann_file': str(tmp_path / 'a.json'),
        'sha256': hashlib.sha256(b'{"images":[{"id":1},{"id":2}]}').hexdigest(),
        'images': 2,
    }
    assert data_fingerprint(a) == [expected_a]
    assert data_fingerprint(ConfigDict(type='RepeatDataset', dataset=a)) == [expected_a]
    both = data_fingerprint(ConfigDict(type='ConcatDataset', datasets=[a, b]))
    assert both[0] == expected_a and both[1]['images'] == 1
    with pytest.raises(FileNotFoundError, match=r'missing\.json: annotation file of the run not found'):
        data_fingerprint(ConfigDict(type='IRDataset', ann_file=str(tmp_path / 'missing.json')))


def test_who_made_a_file_does_not_change_its_fingerprint_and_a_target_does(tmp_path):
    content = {'images': [{'id': 1}], 'annotations': [{'id': 1, 'bbox': [0, 0, 2, 2]}], 'info': {'version': '1'}}
    moved = content | {'annotations': [{'id': 1, 'bbox': [0, 0, 2, 3]}]}
    found = []
    for number, one in enumerate((content, content | {'info': {'made_by': 'mmdet_ir'}}, moved)):
        (tmp_path / f'{number}.json').write_text(json.dumps(one, indent=number))
        found += data_fingerprint(ConfigDict(type='IRDataset', ann_file=str(tmp_path / f'{number}.json')))
    first, other_info, other_target = (entry['sha256'] for entry in found)
    assert first == other_info != other_target


def write_session(folder, lines, resume=False):
    (folder / 'vis_data').mkdir(parents=True)
    (folder / f'{folder.name}.log').write_text('\n'.join(lines) + '\n')
    (folder / 'vis_data' / 'config.py').write_text(f'resume = {resume}\n')


STARTED = [
    '2025/01/01 23:59:50 - mmengine - INFO - ',
    'System environment:',
    '2025/01/02 00:00:10 - mmengine - INFO - Epoch(train)  [1][20/40]  lr: 1.0e-03',
    '2025/01/02 00:01:00 - mmengine - INFO - Epoch(train)  [1][40/40]  lr: 1.0e-03',
]
RESUMED = [
    '2025/01/02 08:00:00 - mmengine - INFO - resumed epoch: 1, iter: 40',
    '2025/01/02 08:00:30 - mmengine - INFO - Iter(train) [60/80]  lr: 1.0e-03',
    '2025/01/02 08:00:45 - mmengine - INFO - Epoch(val) [2][4/4]',
]
TESTED = ['2025/01/02 09:00:00 - mmengine - INFO - ', '2025/01/02 09:30:00 - mmengine - INFO - Epoch(test) [4/4]']
FAILED = ['2025/01/01 12:00:00 - mmengine - INFO - ', '2025/01/01 12:00:05 - mmengine - INFO - loading']


def test_wall_time_adds_up_over_the_sessions_of_the_last_run(tmp_path):
    write_session(tmp_path / '20250101_110000', STARTED)  # given up, not resumed
    write_session(tmp_path / '20250101_120000', FAILED)
    write_session(tmp_path / '20250101_235950', STARTED)
    write_session(tmp_path / '20250102_080000', RESUMED, resume=True)
    write_session(tmp_path / '20250102_090000', TESTED)
    sessions = training_sessions(tmp_path)
    assert [session.name for session in sessions] == ['20250101_235950', '20250102_080000']
    assert [wall_time(session) for session in sessions] == [70.0, 45.0]


def test_a_run_without_its_start_is_an_error(tmp_path):
    write_session(tmp_path / '20250102_080000', RESUMED, resume=True)
    with pytest.raises(
        ValueError, match='expected the session that started the run, found only sessions that resumed'
    ):
        training_sessions(tmp_path)


def test_a_folder_without_training_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match='expected <time>/<time>.log of a training run, found none'):
        training_sessions(tmp_path)


def test_parameters_without_running_means():
    """By hand: 1x1 lateral 8*4, 3x3 output 4*4*9, no biases beside BatchNorm's 2*4 each."""
    neck = {'type': 'FPN', 'in_channels': [8], 'out_channels': 4, 'num_outs': 1, 'norm_cfg': {'type': 'BN'}}
    assert count_parameters(Config({'model': neck})) == 32 + 144 + 8 + 8


def test_git_state(tmp_path):
    def git(*arguments):
        identity = ['-c', 'user.name=test', '-c', 'user.email=test@example.org']
        command = ['git', '-C', str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    assert git_state(tmp_path) == {'commit': None, 'dirty': None}
    git('init')
    (tmp_path / 'file').write_text('one')
    git('add', 'file')
    git('commit', '-m', 'first')
    (tmp_path / 'untracked').write_text('does not count')
    commit = (tmp_path / '.git' / git('symbolic-ref', 'HEAD')).read_text().strip()
    assert git_state(tmp_path) == {'commit': commit, 'dirty': False}
    (tmp_path / 'file').write_text('two')
    assert git_state(tmp_path) == {'commit': commit, 'dirty': True}


def test_environment_is_plain_data_and_names_the_versions():
    environment = json.loads(json.dumps(collect_environment()))
    assert environment['versions']['torch'] == torch.__version__.split('+')[0]
    assert environment['hardware']['cores'] >= 1 and environment['hardware']['cpu']


def test_a_record_with_nan_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match='not JSON compliant'):
        save_record({'mAP': float('nan')}, tmp_path / 'record.json')
    assert list(tmp_path.iterdir()) == []


RUN_CONFIG = """
model = dict(type='FPN', in_channels=[8], out_channels=4, num_outs=1)
train_dataloader = dict(batch_size=2, dataset=dict(type='IRDataset', ann_file={ann!r}))
optim_wrapper = dict(type='OptimWrapper')
load_from = None
resume = False
"""


@pytest.fixture
def runs(tmp_path):
    """Two finished runs, a and b, of a tiny network on classes of the same number but of different names."""
    ann = tmp_path / 'set.json'
    ann.write_text(json.dumps({'images': [{'id': 1}]}))
    (tmp_path / 'config.py').write_text(RUN_CONFIG.format(ann=str(ann)))
    for name, classes in (('a', ('human', 'car')), ('b', ('dog', 'car'))):
        folder = tmp_path / name
        write_session(folder / '20250101_235950', STARTED)
        (folder / '20250101_235950' / 'vis_data' / 'config.py').write_text(RUN_CONFIG.format(ann=str(ann)))
        meta = {'seed': 0, 'epoch': 1, 'iter': 40, 'dataset_meta': {'classes': classes}}
        torch.save({'meta': meta, 'state_dict': {}}, folder / 'epoch_1.pth')
        (folder / 'last_checkpoint').write_text(str(folder / 'epoch_1.pth'))
    return tmp_path


def write_metrics(runs, session, checkpoint, classes=('human', 'car'), iteration=None):
    """What a test in ``session`` leaves; without ``checkpoint`` outside of a log folder."""
    session = runs / session
    session.mkdir(parents=True, exist_ok=True)
    if checkpoint is not None:
        (session / 'vis_data').mkdir(exist_ok=True)
        if iteration is None:
            (session / 'vis_data' / 'config.py').write_text(f'load_from = {str(checkpoint)!r}')
    rows = {name: {'mAP': 0.5} for name in ('all', *classes)}
    content = {
        'ann_file': str(runs / 'set.json'),
        'images': 1,
        'iteration': iteration,
        'metrics': {'bbox': rows, 'segm': rows},
    }
    (session / 'metrics_test.json').write_text(json.dumps(content))
    return session / 'metrics_test.json'


def record_of(runs, metrics):
    return make_record(runs / 'config.py', runs / 'a', metrics, title='a', data_title='set')['tested_checkpoint']


def test_a_run_is_joined_with_metrics_of_its_own_weights(runs, monkeypatch):
    assert record_of(runs, write_metrics(runs, 'a/test', runs / 'a' / 'epoch_1.pth')) == 'epoch_1.pth'
    (runs / 'link').symlink_to(runs / 'a')
    assert record_of(runs, write_metrics(runs, 'tests/1', runs / 'link' / 'epoch_1.pth')) == 'epoch_1.pth'
    monkeypatch.chdir(runs)
    assert record_of(runs, write_metrics(runs, 'tests/2', 'a/epoch_1.pth')) == 'epoch_1.pth'
    assert record_of(runs, write_metrics(runs, 'tests/3', 'former/place/epoch_1.pth')) == 'epoch_1.pth'
    assert record_of(runs, write_metrics(runs, 'a/20250101_235950', '', iteration=40)) == 'iteration 40'
    assert record_of(runs, write_metrics(runs, 'elsewhere', None)) is None


def test_metrics_of_another_model_are_refused(runs):
    others = write_metrics(runs, 'a/test', runs / 'b' / 'epoch_1.pth')
    with pytest.raises(ValueError, match=r'metrics of a checkpoint in .*/a, got those of .*/b/epoch_1\.pth; give'):
        record_of(runs, others)
    unknown = write_metrics(runs, 'a/test_2', 'former/place/epoch_2.pth')
    with pytest.raises(ValueError, match=r'got those of former/place/epoch_2\.pth'):
        record_of(runs, unknown)
    validated = write_metrics(runs, 'b/20250101_235950', '', iteration=40)
    with pytest.raises(ValueError, match='those of a validation in another run, .*/b/20250101_235950'):
        record_of(runs, validated)
    renamed = write_metrics(runs, 'elsewhere', None, classes=('dog', 'car'))
    with pytest.raises(ValueError, match=r"bbox: expected .* \['human', 'car'\] .* got \['dog', 'car'\]"):
        record_of(runs, renamed)
