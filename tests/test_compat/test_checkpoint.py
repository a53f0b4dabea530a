"""What loads under ``weights_only=True``, and what is refused, by each of mmengine's ways to load."""

import functools
import http.server
import os
import pickle
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

from mmdet_ir.compat.checkpoint import CheckpointError, read_header, replace_unsafe_fallback

import mmengine.runner.checkpoint
import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.optim import OneCycleLR
from mmengine.runner import CheckpointLoader, Runner, load_checkpoint
from torch import nn


class Payload:
    """Unpickles by running a shell command."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return os.system, (f'touch {self.target}',)


def stock_checkpoint(model: nn.Module) -> dict:
    """Keys and types as mmengine's CheckpointHook writes them for MMDetection."""
    losses = HistoryBuffer([0.5, 0.25], [1, 1])
    losses.update(np.float64(0.125).item())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2])
    return {
        'meta': {
            'epoch': 3,
            'iter': 12,
            'cfg': "model = dict(type='MaskRCNN')\n",
            'dataset_meta': {'classes': ('human', 'car'), 'palette': [(1, 2, 3), (4, 5, 6)]},
            'seed': 7,
            'experiment_name': 'mask-rcnn_20230101_000000',
            'time': '20230101_000000',
            'mmengine_version': '0.7.1',
            'hook_msgs': {'best_score': np.float64(0.375), 'last_ckpt': 'epoch_3.pth', 'mean': np.arange(3.0)},
            'flags': np.array([True, False]),
            'names': np.array(['human', 'car']),
        },
        'state_dict': model.state_dict(),
        'message_hub': {
            'log_scalars': OrderedDict({'train/loss': losses}),
            'runtime_info': OrderedDict({'iter': 12, 'max_iters': 24, 'best': np.int64(5)}),
            'resumed_keys': OrderedDict({'train/loss': True}),
        },
        'optimizer': optimizer.state_dict(),
        'param_schedulers': [schedule.state_dict()],
    }


@pytest.fixture
def stock(tmp_path: Path) -> Path:
    path = tmp_path / 'stock.pth'
    torch.save(stock_checkpoint(nn.Linear(2, 1)), path)
    return path


@pytest.mark.parametrize('module', ['numpy._core.multiarray', 'numpy.core.multiarray'])
def test_a_stock_checkpoint_loads(tmp_path: Path, module: str) -> None:
    """NumPy 1 and NumPy 2 name their arrays by different modules."""
    source, path = nn.Linear(2, 1), tmp_path / 'stock.pth'
    torch.save(stock_checkpoint(source), path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    own = np.float64(0).__reduce__()[0].__module__.encode()
    assert content.count(own) > 0
    path.write_bytes(content.replace(b'c' + own + b'\n', b'c' + module.encode() + b'\n'))
    model = nn.Linear(2, 1)
    loaded = load_checkpoint(model, str(path), map_location='cpu')
    torch.testing.assert_close(model.weight, source.weight)
    history = loaded['message_hub']['log_scalars']['train/loss']
    assert history.data[0].tolist() == [0.5, 0.25, 0.125]
    assert history.statistics('mean', 2) == pytest.approx(0.1875)
    meta = loaded['meta']
    assert meta['hook_msgs']['best_score'] == 0.375
    assert meta['hook_msgs']['mean'].tolist() == [0, 1, 2]
    assert meta['names'].tolist() == ['human', 'car']
    assert meta['flags'].tolist() == [True, False]
    assert loaded['message_hub']['runtime_info']['best'] == 5
    assert loaded['optimizer']['param_groups'][0]['momentum'] == 0.9
    assert loaded['param_schedulers'][0]['milestones'] == {2: 1}


class Line(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, inputs: torch.Tensor, targets: torch.Tensor, mode: str) -> dict:
        return {'loss': (self.layer(inputs) - targets).pow(2).mean()}


def runner(work_dir: Path, **settings: object) -> Runner:
    data = [(torch.tensor([float(i)]), torch.tensor([2.0 * i])) for i in range(4)]
    loader = {
        'batch_size': 2,
        'dataset': data,
        'sampler': {'type': 'DefaultSampler', 'shuffle': False},
        'collate_fn': {'type': 'default_collate'},
    }
    return Runner(
        model=Line(),
        work_dir=str(work_dir),
        train_dataloader=loader,
        train_cfg={'by_epoch': True, 'max_epochs': settings.pop('epochs', 2)},
        optim_wrapper={'optimizer': {'type': 'SGD', 'lr': 0.01, 'momentum': 0.9}},
        param_scheduler={'type': 'MultiStepLR', 'milestones': [1], 'end': 3},
        default_hooks={'checkpoint': {'type': 'CheckpointHook', 'interval': 1}},
        experiment_name=f'{work_dir.name}_{len(os.listdir(work_dir.parent))}_{id(settings)}',
        **settings,
    )


def test_a_runner_resumes_what_it_would_have_done(tmp_path: Path) -> None:
    torch.manual_seed(0)
    whole = runner(tmp_path / 'whole', epochs=3)
    start = {name: value.clone() for name, value in whole.model.state_dict().items()}
    whole.train()
    first = runner(tmp_path / 'parts', epochs=1)
    first.model.load_state_dict(start)
    first.train()
    second = runner(tmp_path / 'parts', epochs=3, resume=True)
    second.train()
    assert second.iter == 6
    assert second.optim_wrapper.get_lr()['lr'] == [pytest.approx(0.001)]
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(second.model.state_dict()[name], value)
    history = second.message_hub.get_scalar('train/loss').data[0]
    assert len(history) == 6
    assert history.tolist() == pytest.approx(whole.message_hub.get_scalar('train/loss').data[0].tolist())


@pytest.fixture
def malicious(tmp_path: Path) -> Path:
    path = tmp_path / 'malicious.pth'
    content = stock_checkpoint(nn.Linear(2, 1))
    torch.save({**content, 'meta': Payload(tmp_path / 'owned')}, path)
    return path


def assert_refused(path: Path, named: str, load: functools.partial) -> None:
    with pytest.raises(CheckpointError) as error:
        load()
    assert str(error.value).startswith(f'{path}: refused, because loading it would run {named!r}')
    assert 'weights_only=True' in str(error.value)
    assert not (path.parent / 'owned').exists()


def test_the_payload_works_where_nothing_guards(malicious: Path) -> None:
    """Else the tests below would prove nothing."""
    torch.load(malicious, weights_only=False)
    assert (malicious.parent / 'owned').exists()


@pytest.mark.parametrize('legacy', [False, True])
def test_a_payload_is_refused(malicious: Path, legacy: bool) -> None:
    if legacy:
        content = {'state_dict': Payload(malicious.parent / 'owned')}
        torch.save(content, malicious, _use_new_zipfile_serialization=False)
    assert_refused(malicious, 'posix.system', functools.partial(load_checkpoint, nn.Linear(1, 1), str(malicious)))


def test_a_payload_is_refused_by_load_from_and_resume(malicious: Path, tmp_path: Path) -> None:
    for settings in ({'load_from': str(malicious)}, {'load_from': str(malicious), 'resume': True}):
        assert_refused(malicious, 'posix.system', runner(tmp_path / 'run', **settings).train)


def test_a_payload_is_refused_when_the_environment_asks_for_unsafe_loading(
    malicious: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    assert_refused(malicious, 'posix.system', functools.partial(load_checkpoint, nn.Linear(1, 1), str(malicious)))
    assert os.environ['TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'] == '1'
    assert 'TORCH_FORCE_WEIGHTS_ONLY_LOAD' not in os.environ


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of an HTTP server of ``tmp_path`` on this machine; downloads are kept apart from the user's."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Quiet, directory=tmp_path)) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{httpd.server_port}'
        httpd.shutdown()


def test_a_payload_from_a_url_is_refused(malicious: Path, server: str) -> None:
    """torch.hub, which mmengine uses for URLs, itself asks for ``weights_only=False``."""
    url = f'{server}/malicious.pth'
    with pytest.raises(CheckpointError, match=f'{url}: refused'):
        load_checkpoint(nn.Linear(1, 1), url)
    assert not (malicious.parent / 'owned').exists()


def test_a_stock_checkpoint_from_a_url_loads(stock: Path, server: str) -> None:
    assert load_checkpoint(nn.Linear(2, 1), f'{server}/stock.pth')['meta']['epoch'] == 3


class Reach:
    """Asks for an attribute through ``getattr``, as a HistoryBuffer does for its statistics."""

    def __init__(self, owner: object, name: str) -> None:
        self.owner, self.name = owner, name

    def __reduce__(self) -> tuple:
        return getattr, (self.owner, self.name)


@pytest.mark.parametrize(
    ('owner', 'name'), [(HistoryBuffer, '__init__'), (HistoryBuffer, 'register_statistics'), (np.ndarray, 'mean')]
)
def test_getattr_reaches_nothing_but_statistics(tmp_path: Path, owner: type, name: str) -> None:
    path = tmp_path / 'reach.pth'
    torch.save({'state_dict': {}, 'meta': Reach(owner, name)}, path)
    assert_refused(path, 'builtins.getattr', functools.partial(load_checkpoint, nn.Linear(1, 1), str(path)))


def test_the_forks_fallback_is_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the fork has it: what was refused is loaded once more, with everything that a pickle can do."""

    def fallback(file: Path, map_location: object = None, weights_only: bool | None = None) -> dict:
        return torch.load(file, map_location=map_location, weights_only=False)

    module, path, target = mmengine.runner.checkpoint, tmp_path / 'evil.pth', tmp_path / 'ran'
    monkeypatch.setattr(module, '_safe_torch_load', fallback, raising=False)
    torch.save({'state_dict': {}, 'meta': Payload(target)}, path)
    module._safe_torch_load(path)
    assert target.exists()  # it does run what the file says
    target.unlink()
    replace_unsafe_fallback()
    for weights_only in (None, False):
        with pytest.raises(pickle.UnpicklingError, match='system'):
            module._safe_torch_load(path, 'cpu', weights_only)
    assert not target.exists()


def test_a_class_of_ones_own_is_refused_by_name_until_it_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / 'own.pth'
    torch.save({'state_dict': {}, 'meta': Note()}, path)
    named = f'{Note.__module__}.Note'
    assert_refused(path, named, functools.partial(load_checkpoint, nn.Linear(1, 1), str(path)))
    with torch.serialization.safe_globals([Note]):
        assert load_checkpoint(nn.Linear(1, 1), str(path))['meta'].text == 'note'


class Note:
    def __init__(self) -> None:
        self.text = 'note'


@pytest.mark.parametrize('content', [b'', b'<html>not found</html>', b'PK\x03\x04 half a zip file'])
def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / 'broken.pth'
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match='broken.pth: not a readable PyTorch checkpoint'):
        load_checkpoint(nn.Linear(1, 1), str(path))


def test_weights_in_the_format_of_hugging_face_are_read(tmp_path: Path) -> None:
    safetensors = pytest.importorskip('safetensors.torch')
    weights = {'weight': torch.tensor([[3.0]]), 'bias': torch.tensor([4.0])}
    path = tmp_path / 'model.safetensors'
    safetensors.save_file(weights, str(path))
    model = nn.Linear(1, 1)
    assert set(load_checkpoint(model, str(path))) == {'state_dict'}
    assert model(torch.tensor([[2.0]])).item() == 10.0
    with pytest.raises(CheckpointError, match=r'model\.safetensors: holds weights alone, .* load_from='):
        read_header(path)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(CheckpointError, match=r'model\.safetensors: expected weights in the format safetensors'):
        load_checkpoint(nn.Linear(1, 1), str(path))


def test_weights_without_meta_are_told_as_such(tmp_path: Path) -> None:
    torch.save({'state_dict': {'weight': torch.ones(1, 1)}}, tmp_path / 'bare.pth')
    with pytest.raises(CheckpointError, match=r'bare\.pth: holds weights alone, .* load_from='):
        read_header(tmp_path / 'bare.pth')


def test_the_package_that_reads_them_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'safetensors', None)
    path = tmp_path / 'model.safetensors'
    path.write_bytes(b'anything')
    with pytest.raises(CheckpointError, match=r'model\.safetensors: .* pip install safetensors'):
        load_checkpoint(nn.Linear(1, 1), str(path))


def test_a_truncated_checkpoint_is_named(stock: Path) -> None:
    stock.write_bytes(stock.read_bytes()[:-200])
    with pytest.raises(CheckpointError, match='stock.pth: not a readable PyTorch checkpoint'):
        load_checkpoint(nn.Linear(2, 1), str(stock))


def test_the_message_is_not_torchs_advice_to_switch_the_guard_off(malicious: Path) -> None:
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(nn.Linear(1, 1), str(malicious))
    assert 'weights_only=False' not in str(error.value)
    assert not isinstance(error.value, pickle.UnpicklingError)


def test_one_cycle_resumes_where_it_was(tmp_path: Path) -> None:
    """Its state in stock mmengine holds a bound method, which no allow-list should let in."""

    def build() -> tuple[torch.optim.Optimizer, OneCycleLR]:
        optimizer = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1)
        return optimizer, OneCycleLR(optimizer, eta_max=0.1, total_steps=20, by_epoch=False)

    optimizer, scheduler = build()
    rates, expected = [], []
    for step in range(15):
        scheduler.step()
        if step == 6:
            states = {'optimizer': optimizer.state_dict(), 'param_schedulers': [scheduler.state_dict()]}
            torch.save({'state_dict': {}, **states}, tmp_path / 'one_cycle.pth')
        elif step > 6:
            expected.append(optimizer.param_groups[0]['lr'])
    loaded = CheckpointLoader.load_checkpoint(str(tmp_path / 'one_cycle.pth'))
    optimizer, scheduler = build()
    optimizer.load_state_dict(loaded['optimizer'])
    scheduler.load_state_dict(loaded['param_schedulers'][0])
    for _ in range(8):
        scheduler.step()
        rates.append(optimizer.param_groups[0]['lr'])
    assert rates == expected and len(set(rates)) == 8
