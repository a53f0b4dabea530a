"""The runner: what is done is skipped, what was interrupted goes on, what fails does not stop the rest."""

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

from mmdet_ir.experiments import jobs, reproduce
from mmdet_ir.experiments.cells import SizeData, TableRow
from mmdet_ir.experiments.jobs import Job, JobError, Launcher, first_of, locked
from mmdet_ir.experiments.reproduce import Plan, Reproduction

import pytest
from mmengine.config import Config

ROOT = Path(__file__).parents[2]
METRICS = {'segm': {'all': {'mAP': 0.25}}}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two cells, ``a`` and ``b``, on a base; the base of the other size lies beside."""
    monkeypatch.chdir(tmp_path)
    dataset = "dict(data_root='data', ann_file='val.json')"
    for name, epochs in (('base', 100), ('small', 2)):
        Path(f'{name}.py').write_text(
            f'train_cfg = dict(max_epochs={epochs})\nmodel = dict(loss=dict(type="x", weight=1))\n'
            f'train_dataloader = dict(dataset={dataset})\ntest_dataloader = dict(dataset={dataset})\n'
        )
    for name, weight in (('a', 2), ('b', 3)):
        Path(f'{name}.py').write_text(f"_base_ = './base.py'\nmodel = dict(loss=dict(weight={weight}))\n")
    Path('data').mkdir()
    Path('data/val.json').write_text('{}')
    return tmp_path


def make_job(name='a', seed=0, **changes) -> Job:
    data = SizeData('cpu', 'real', 'title', {'base.py': 'small.py'}, (), None, True)
    job = Job(TableRow(name, name.upper(), f'{name}.py'), data, seed, Path('runs'), Path('results'))
    return replace(job, **changes)


@pytest.fixture
def tools(monkeypatch):
    """Stands in for the tools' processes: ``.calls`` are the command lines, ``.fail`` words that make one fail."""

    class Tools:
        calls: list = []
        fail: tuple = ()
        during = staticmethod(lambda command: None)

    Tools.calls = []

    def run_command(command, log, lock, processes, env):
        Tools.calls.append(command)
        Tools.during(command)
        work_dir = Path(command[command.index('--work-dir') + 1])
        if any(word in ' '.join(command) for word in Tools.fail):
            raise JobError('train.py ended with code 1')
        if command[1] == jobs.TRAIN:
            (work_dir / 'last_checkpoint').write_text('/elsewhere/epoch_2.pth')

    def make_record(config, work_dir, metrics, title, data_title):
        return {'kind': 'run', 'config': str(config), 'title': title, 'metrics': METRICS}

    monkeypatch.setattr(reproduce, 'run_command', run_command)
    monkeypatch.setattr(jobs, 'make_record', make_record)
    return Tools


def run(*todo: Job, width: int = 1):
    lines: list[str] = []
    return Reproduction(todo, Launcher(), [None] * width, lines.append).run(), lines


def kinds(tools) -> list[str]:
    return [Path(command[1]).stem for command in tools.calls]


def test_a_run_is_trained_tested_and_recorded_once(folder, tools):
    outcome, lines = run(make_job())
    assert kinds(tools) == ['train', 'test'] and list(outcome.done) == ['cpu/real/a seed 0']
    train, test = tools.calls
    assert train[2] == 'runs/cpu/real/configs/a.py' and train[3:7] == ['--seed', '0', '--amp', '--resume']
    assert test[3] == 'runs/cpu/real/a/seed0/epoch_2.pth'
    trained = Config.fromfile(train[2])
    assert (trained.train_cfg.max_epochs, trained.model.loss.to_dict()) == (2, {'type': 'x', 'weight': 2})
    record = json.loads(Path('results/cpu/real/a_seed0.json').read_text())
    assert (record['config'], record['size'], record['data_name']) == ('a.py', 'cpu', 'real')
    assert record['tested_checkpoint'] == 'epoch_2.pth' and record['metrics'] == METRICS
    assert any('mask mAP 25.000' in line and '0 left' in line for line in lines)

    again, _ = run(make_job(), make_job(seed=1))
    assert again.skipped == ['cpu/real/a seed 0'] and list(again.done) == ['cpu/real/a seed 1']
    assert len(tools.calls) == 4


def test_a_run_that_was_trained_is_only_tested(folder, tools):
    tools.fail = ('tools/test.py',)
    outcome, _ = run(make_job())
    assert kinds(tools) == ['train', 'test'] and list(outcome.failed) == ['cpu/real/a seed 0']
    tools.fail = ()
    outcome, _ = run(make_job())
    assert kinds(tools) == ['train', 'test', 'test'] and len(outcome.done) == 1


def test_a_failure_stops_nothing_and_is_tried_again(folder, tools):
    tools.fail = ('configs/a.py',)
    outcome, lines = run(make_job('a'), make_job('b'))
    assert outcome.failed == {'cpu/real/a seed 0': 'train.py ended with code 1'}
    assert list(outcome.done) == ['cpu/real/b seed 0'] and any(line.startswith('FAILED') for line in lines)
    assert not Path('results/cpu/real/a_seed0.json').exists()
    tools.fail = ()
    outcome, _ = run(make_job('a'), make_job('b'))
    assert list(outcome.done) == ['cpu/real/a seed 0'] and outcome.skipped == ['cpu/real/b seed 0']


def test_a_fault_of_the_program_is_one_failure_too(folder, tools):
    def fault(command):
        if 'configs/a.py' in command[2]:
            raise TypeError('odd')

    tools.during = fault
    outcome, _ = run(make_job('a'), make_job('b'))
    assert outcome.failed == {'cpu/real/a seed 0': "TypeError('odd') (traceback: runs/cpu/real/a/seed0/log.txt)"}
    assert list(outcome.done) == ['cpu/real/b seed 0']
    assert 'in fault' in Path('runs/cpu/real/a/seed0/log.txt').read_text()


def test_configs_are_read_in_one_thread_at_a_time(folder, tools, monkeypatch):
    """mmengine's way to find ``mmdet::`` bases is not made for several threads."""
    inside, read = threading.Lock(), jobs.rebased_config

    def rebased_config(config, bases):
        assert inside.acquire(blocking=False), 'two threads read at once'
        try:
            time.sleep(0.02)
            return read(config, bases)
        finally:
            inside.release()

    monkeypatch.setattr(jobs, 'rebased_config', rebased_config)
    outcome, _ = run(*(make_job(name, seed) for name in 'ab' for seed in range(4)), width=8)
    assert len(outcome.done) == 8 and not outcome.failed


def test_without_data_nothing_is_started(folder, tools):
    Path('data/val.json').unlink()
    outcome, _ = run(make_job())
    assert outcome.no_data == {'cpu/real/a seed 0': 'no data: data/val.json, data/val.json'} and not tools.calls


def test_what_all_start_from_is_trained_first_and_once(folder, tools):
    Path('first.py').write_text(Path('small.py').read_text())
    job = replace(make_job(), data=replace(make_job().data, first='first.py'))
    assert first_of(job.data, job.root) == (Path('runs/cpu/first'), Path('epoch_2.pth'))
    tools.during = lambda command: 'first.py' in command and Path('runs/cpu/first/epoch_2.pth').write_text('')
    run(job, replace(job, row=make_job('b').row))
    assert [command[2] for command in tools.calls].count('first.py') == 1 and tools.calls[0][2] == 'first.py'
    run(replace(job, seed=1))
    assert [command[2] for command in tools.calls].count('first.py') == 1

    Path('runs/cpu/first/epoch_2.pth').unlink()
    Path('first.py').write_text(Path('small.py').read_text().replace('val.json', 'none.json'))
    with pytest.raises(JobError, match='first.py: no data: data/none.json'):
        run(replace(job, seed=2))


def test_changed_settings_are_refused_not_mixed(folder, tools):
    tools.fail = ('configs/b.py',)
    run(make_job('a'), make_job('b'))
    for name in 'ab':
        Path(f'{name}.py').write_text("_base_ = './base.py'\nmodel = dict(loss=dict(weight=9))\n")
    outcome, _ = run(make_job('a'), make_job('b'))
    assert 'a_seed0.json: its settings are not those of a.py any more' in outcome.failed['cpu/real/a seed 0']
    assert 'runs/cpu/real/b/seed0 holds a run with other settings' in outcome.failed['cpu/real/b seed 0']
    assert len(tools.calls) == 3


def test_a_folder_that_another_process_holds_is_waited_for(folder, tools, monkeypatch):
    monkeypatch.setattr(reproduce, 'BUSY_SECONDS', 0.05)
    job = make_job()
    script = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from mmdet_ir.experiments.jobs import locked
with locked(Path({str(job.work_dir)!r})) as lock:
    print(lock is not None, flush=True)
    sys.stdin.read()
"""
    other = subprocess.Popen([sys.executable, '-c', script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == 'True\n'
    lines: list[str] = []
    reproduction = Reproduction([job], Launcher(), [None], lines.append)
    thread = threading.Thread(target=reproduction.run)
    thread.start()
    while not any(line.startswith('wait') for line in lines):
        assert thread.is_alive()
    assert not tools.calls
    other.communicate('')
    thread.join(20)
    assert kinds(tools) == ['train', 'test'] and list(reproduction.outcome.done) == [job.label]


def test_the_lock_lives_as_long_as_a_process_that_was_given_it(tmp_path):
    with locked(tmp_path) as lock:
        child = subprocess.Popen(
            [sys.executable, '-c', 'import sys; sys.stdin.read()'], stdin=subprocess.PIPE, pass_fds=[lock]
        )
    with locked(tmp_path) as second:
        assert second is None
    child.communicate(b'')
    with locked(tmp_path) as third:
        assert third is not None


def test_loaders_that_outlive_a_killed_tool_do_not_hold_the_folder(tmp_path):
    """A tool whose child never ends; the tool alone is killed, as by the kernel when memory runs out."""
    told = tmp_path / 'child'

    def tool(end: str) -> str:
        return f"""
import os, time
pid = os.fork()
if pid:
    open({str(told)!r}, 'w').write(str(pid))
    {end}
time.sleep(60)
"""

    def is_held() -> bool:
        with locked(tmp_path) as lock:
            return lock is None

    def child_runs() -> bool:
        status = Path(f'/proc/{told.read_text()}/stat')
        return status.exists() and status.read_text().split()[2] != 'Z'

    command = [sys.executable, '-c']
    with locked(tmp_path) as lock, pytest.raises(JobError, match='code -9'):
        jobs.run_command([*command, tool('os.kill(os.getpid(), 9)')], tmp_path / 'log', lock, set(), dict(os.environ))
    assert not is_held()

    # The runner is killed first, then the tool: nobody is left to clear up but the next runner.
    told.unlink()
    runner = f"""
import os, sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from mmdet_ir.experiments.jobs import locked, run_command
with locked(Path({str(tmp_path)!r})) as lock:
    run_command([sys.executable, '-c', {tool('pass')!r}], Path('log'), lock, set(), dict(os.environ))
"""
    process = subprocess.Popen([*command, runner], cwd=tmp_path)
    while not told.exists() or not told.read_text():
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert is_held()
    os.kill(int((tmp_path / '.lock').read_text()), 9)
    end = time.monotonic() + 20
    while is_held() and time.monotonic() < end:
        time.sleep(0.05)
    assert not is_held() and not child_runs()


def test_each_run_at_a_time_has_gpus_of_its_own(folder, tools, monkeypatch):
    at_once, seen, both = set(), [], threading.Barrier(2, timeout=20)
    original = reproduce.run_command

    def run_command(command, log, lock, processes, env):
        gpus = env['CUDA_VISIBLE_DEVICES']
        assert gpus not in at_once
        at_once.add(gpus)
        seen.append(gpus)
        if len(seen) <= 2:  # the first two runs are at work at the same time
            both.wait()
        original(command, log, lock, processes, env)
        at_once.discard(gpus)

    monkeypatch.setattr(reproduce, 'run_command', run_command)
    todo = [make_job(name, seed) for name in 'ab' for seed in (0, 1)]
    outcome = Reproduction(todo, Launcher(), ['0,1', '2,3'], lambda line: None).run()
    assert len(outcome.done) == 4 and not outcome.failed and set(seen) == {'0,1', '2,3'}


def test_commands_of_every_launcher(folder):
    job, work_dir = make_job(), 'runs/cpu/real/a/seed0'
    assert job.train_command(Launcher(gpus=2)) == (
        f'tools/dist_train.sh runs/cpu/real/configs/a.py 2 --seed 0 --amp --resume --work-dir {work_dir}'.split()
    )
    assert job.test_command(Launcher(gpus=2), 'c.pth')[:4] == [
        'tools/dist_test.sh',
        'runs/cpu/real/configs/a.py',
        'c.pth',
        '2',
    ]
    assert job.train_command(Launcher(gpus=2, partition='p')) == (
        f'tools/slurm_train.sh p a runs/cpu/real/configs/a.py {work_dir} --seed 0 --amp --resume'.split()
    )
    assert job.test_command(Launcher(partition='p'), 'c.pth')[:5] == [
        'tools/slurm_test.sh',
        'p',
        'a',
        'runs/cpu/real/configs/a.py',
        'c.pth',
    ]


def test_a_plan_trains_a_shared_cell_once(monkeypatch):
    monkeypatch.chdir(ROOT)
    plan = Plan('cpu', ['table1', 'table2', 'table3'], data=['real'], seeds=[0, 1], seeds_for=['none'])
    labels = [job.label for job in plan.jobs()]
    assert len(labels) == len(set(labels)) == 6 + 7 + 3 - 2 + 1  # the baseline is in three tables, and has two seeds
    assert labels[-1] == 'cpu/real/mask_rcnn seed 1'
    assert len(Plan('paper', ['table1'], seeds=[0, 1, 2]).jobs()) == 18
    some = Plan('cpu', ['table1', 'parts'], rows=['c3', 'ours'], data=['real'])
    assert [job.row.name for job in some.jobs()] == ['c3', 'ours']
    with pytest.raises(ValueError, match='--rows: expected names out of .*c3_c4.*, got c9'):
        Plan('cpu', rows=['c9']).jobs()
    with pytest.raises(ValueError, match='--data: expected names out of real, synthetic at the size cpu, got moon'):
        Plan('cpu', data=['moon']).jobs()
    with pytest.raises(ValueError, match='--table: 4 is not run at the size cpu .*: paper, scratch$'):
        Plan('cpu', ['table4']).jobs()


def test_figures_bring_their_cells(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert {job.row.name for job in Plan('paper', figures=['fig9']).jobs()} == {'0', '0.25', '0.5', '0.75', '1.0'}
    on_synthetic = Plan('cpu', figures=['fig10'], data=['synthetic']).jobs()  # the other models are not run there
    assert {Path(job.row.config).stem for job in on_synthetic} == {
        'mask_rcnn',
        'mask_rcnn_bnsa_focalsiou_mbcedicels',
    }


def test_output_and_last_error_of_a_real_process(tmp_path):
    log = tmp_path / 'log.txt'
    with locked(tmp_path) as lock:
        jobs.run_command([sys.executable, '-c', 'print("hello")'], log, lock, set(), dict(os.environ))
        with pytest.raises(JobError, match=r'-c ended with code 3: error: no such file \(log: '):
            code = 'import sys; print("error: no such file"); print("(traceback: x)"); sys.exit(3)'
            jobs.run_command([sys.executable, '-c', code], log, lock, set(), dict(os.environ))
    assert 'hello\n' in log.read_text()
