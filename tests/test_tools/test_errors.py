"""What a user's mistake is answered with."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

from mmdet_ir.apis import launch
from mmdet_ir.cli.errors import explain, registered_names, run_tool

import pytest
from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config
from torch.utils.data import DataLoader, Dataset


class Unreadable(Dataset):
    def __init__(self, error: Exception) -> None:
        self.error = error

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> None:
        raise self.error


@pytest.mark.parametrize('error', [ValueError('a.png: cannot be read'), FileNotFoundError('no a.png\n(second line)')])
def test_the_message_of_a_dataloader_worker_is_found(error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        next(iter(DataLoader(Unreadable(error), num_workers=1)))
    assert 'Original Traceback' in str(caught.value)
    assert explain(caught.value) == str(error)


@pytest.mark.parametrize(
    ('registry', 'name', 'close'), [(MODELS, 'MaskRCN', 'MaskRCNN'), (DATASETS, 'mmdet.IRDatset', 'IRDataset')]
)
def test_close_names_are_offered(registry: type, name: str, close: str) -> None:
    with pytest.raises(KeyError) as caught:
        registry.build({'type': name})
    message = explain(caught.value)
    assert f'unknown type {name!r}' in message
    assert f'did you mean {close!r}' in message


def test_nothing_close() -> None:
    with pytest.raises(KeyError) as caught:
        MODELS.build({'type': 'Qwxyz'})
    assert 'nothing has a similar name' in explain(caught.value)


def test_names_of_one_registry_and_of_all() -> None:
    models = registered_names('mmdet::model')
    assert {'MaskRCNN', 'FPN', 'BaseTTAModel'} & models >= {'MaskRCNN', 'FPN'}
    assert 'CocoDataset' not in models
    assert {'MaskRCNN', 'CocoDataset'} <= registered_names('no such registry')


def test_other_errors_are_faults_of_the_program() -> None:
    assert explain(KeyError('bbox')) is None
    assert explain(RuntimeError('out of memory')) is None


def test_a_tool_keeps_the_traceback_of_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('MMDET_IR_TRACEBACK', raising=False)
    with pytest.raises(KeyError, match='bbox'):
        run_tool(lambda: {}['bbox'])


def test_a_tool_answers_a_mistake_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.delenv('MMDET_IR_TRACEBACK', raising=False)
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        run_tool(lambda: int('two'))
    assert ended.value.code == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first == "error: invalid literal for int() with base 10: 'two'"
    assert 'Traceback (most recent call last)' in next(tmp_path.iterdir()).read_text()
    assert str(tmp_path) in second
    monkeypatch.setenv('MMDET_IR_TRACEBACK', '1')
    with pytest.raises(ValueError, match='invalid literal'):
        run_tool(lambda: int('two'))


def test_missing_files_are_named(toy_config: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"config not found: expected a file, got 'none\.py'"):
        launch.train('none.py')
    with pytest.raises(FileNotFoundError, match=r"checkpoint not found: expected a file or URL, got 'none\.pth'"):
        launch.test(str(toy_config), 'none.pth')
    for options in ({'resume': 'none.pth'}, {'cfg_options': {'load_from': 'none.pth'}}):
        with pytest.raises(FileNotFoundError, match=r"checkpoint not found: expected a file or URL, got 'none\.pth'"):
            launch.train(str(toy_config), **options)


def test_published_weights_are_nothing_to_resume(toy_config: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='--resume edge: holds no state of an optimiser, .* --load-from edge'):
        launch.train(str(toy_config), work_dir=str(tmp_path / 'run'), resume='edge')


def test_options_that_the_config_cannot_serve(toy_config: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"--out: expected a name that ends in \.pkl or \.pickle, got 'a\.json'"):
        launch.test(str(toy_config), str(toy_config), out='a.json')
    with pytest.raises(ValueError, match='--show and --show-dir need default_hooks.visualization'):
        hooks = {'default_hooks': {'_delete_': True}}
        config = tmp_path / 'bare.py'
        config.write_text(f"_base_ = '{toy_config}'\ndefault_hooks = {hooks['default_hooks']}\n")
        launch.test(str(config), str(toy_config), show=True)
    with pytest.raises(ValueError, match='--auto-scale-lr needs auto_scale_lr'):
        config.write_text(f"_base_ = '{toy_config}'\nauto_scale_lr = dict(_delete_=True, enable=False)\n")
        launch.train(str(config), auto_scale_lr=True)
    with pytest.raises(ValueError, match=r"--amp: expected optim_wrapper.type to be one of .* got 'ApexOptimWrapper'"):
        launch.train(str(toy_config), amp=True, cfg_options={'optim_wrapper.type': 'ApexOptimWrapper'})


def test_mixed_precision_settings_by_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, 'bfloat16_slowdown', lambda: 0.7)  # (whatever the processor at hand has)
    for device, kind, scale in (('cpu', 'Bf16OptimWrapper', None), ('cuda', 'AmpOptimWrapper', 'dynamic')):
        monkeypatch.setattr(launch, 'get_device', lambda device=device: device)
        cfg = Config({'optim_wrapper': {'type': 'OptimWrapper', 'clip_grad': {'max_norm': 1}}})
        launch.use_mixed_precision(cfg)
        assert cfg.optim_wrapper.type == kind
        assert cfg.optim_wrapper.get('loss_scale') == scale
        assert cfg.optim_wrapper.clip_grad.max_norm == 1


@pytest.mark.slow
def test_the_learning_rate_is_scaled_by_the_batch_size(toy_config: Path, tmp_path: Path) -> None:
    runner = launch.train(
        str(toy_config),
        work_dir=str(tmp_path),
        auto_scale_lr=True,
        cfg_options={'experiment_name': tmp_path.name},
    )
    # Batches of 2, and a base batch size of 4.
    assert runner.optim_wrapper.get_lr()['lr'] == [pytest.approx(0.005)]


def test_the_error_stands_below_what_was_printed_before_it(tmp_path: Path) -> None:
    """On a screen that shows both, and in a log of both, where Python keeps what is printed until it ends."""
    tool = tmp_path / 'tool.py'
    tool.write_text(
        'from mmdet_ir.cli import run_tool\n\n\ndef main():\n    print("working")\n    raise ValueError("no")\n\n\n'
        'run_tool(main)\n'
    )
    keeping = {name: value for name, value in os.environ.items() if name != 'PYTHONUNBUFFERED'}
    done = subprocess.run(
        [sys.executable, tool], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=keeping
    )
    assert done.returncode == 2 and done.stdout.splitlines()[:2] == ['working', 'error: no']


def test_a_reader_that_has_seen_enough_is_no_fault(tmp_path: Path) -> None:
    """`... | head`: nothing is told, and the code is that of SIGPIPE. A pipe that broke elsewhere is a fault."""
    code = 'from mmdet_ir.cli import run_tool; run_tool(lambda: [print("line", i) for i in range(100_000)])'
    script = f"set -o pipefail; {sys.executable} -c '{code}' | head -n 1"
    done = subprocess.run(['bash', '-c', script], capture_output=True, text=True)
    assert (done.stdout, done.stderr, done.returncode) == ('line 0\n', '', 141)
    broken = 'r, w = os.pipe(); os.close(r); run_tool(lambda: os.write(w, b"1"))'
    code = f'import os; from mmdet_ir.cli import run_tool; {broken}'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 1 and 'BrokenPipeError' in done.stderr


@pytest.mark.parametrize(
    ('tool', 'arguments'),
    [
        ('adapt', ['IN', '{IN}', 'images', '--out', '{IN}']),
        ('deploy/export', ['config.py', '{IN}', '--format', 'torchscript', '--out', '{IN}']),
        ('deploy/test_exported', ['{IN}', 'config.py', '--out', '{IN}']),
        ('analysis/compare', ['A={IN}', 'other.json', '--csv', '{IN}']),
        ('analysis/compare', ['A=other.json', '{IN}', '--tex', '{IN}']),
        ('analysis/compare_masks', ['exact.json', 'A={IN}', '--json', '{IN}']),
        ('analysis/measure', ['val.json', '{IN}', '--out', '{IN}']),
        ('analysis/model_complexity', ['{IN}', '--out', '{IN}']),
        ('analysis/record_run', ['c.py', 'run', '{IN}', '--title', 'a', '--data', 'b', '--out', '{IN}']),
        ('analysis/draw_tone_mapping', ['{IN}', '--out', '{IN}']),
        ('analysis/draw_feature_maps', ['config.py', 'weights.pth', '{IN}', '--out', '{IN}']),
    ],
)
def test_an_output_that_is_an_input_is_refused(
    tool: str, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tmp_path / 'input.pt'
    given.write_text('the only copy')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', [tool, *(text.format(IN=given) for text in arguments)])
    main = runpy.run_path(str(Path(__file__).parents[2] / 'tools' / f'{tool}.py'))['main']
    with pytest.raises(ValueError, match=r'expected another file than the input .*input\.pt'):
        main()
    assert given.read_text() == 'the only copy'
