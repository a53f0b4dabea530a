"""Every config is built, and takes training steps and an inference at tiny size."""

from pathlib import Path

import mmdet_ir

import pytest
import torch
from building import CONFIGS, NAMED, PARTS, PLAIN, SMALL_BACKBONE, STAGES, build, nested, read, tiny_batch
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.optim import build_optim_wrapper


@pytest.fixture(scope='module')
def model(request: pytest.FixtureRequest) -> torch.nn.Module:
    MessageHub.get_current_instance().update_info('iter', 100)  # some losses warm up with it, as the runner keeps it
    model = read(request.param).model
    if model.data_preprocessor.type == 'BoxInstDataPreprocessor':
        pytest.importorskip('skimage')
    # The paper's size is built once for each model; a part on top of it is tried on a smaller backbone.
    is_variant = request.param not in PLAIN and model.get('neck', {}).get('in_channels') == STAGES
    return build(request.param, **(SMALL_BACKBONE if is_variant else {}))


@pytest.fixture(scope='module', params=CONFIGS)
def config(request: pytest.FixtureRequest) -> Config:
    return read(request.param)


def train_step(model: torch.nn.Module, batch: dict) -> None:
    model.train().zero_grad()
    loss, logs = model.parse_losses(model(**model.data_preprocessor(batch, training=True), mode='loss'))
    assert torch.isfinite(loss) and loss > 0 and all(torch.isfinite(torch.tensor(float(v))) for v in logs.values())
    loss.backward()


@pytest.mark.parametrize('model', CONFIGS, indirect=True)
def test_every_trainable_parameter_gets_a_finite_gradient(model: torch.nn.Module) -> None:
    train_step(model, tiny_batch(model))
    missing = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    broken = [n for n, p in model.named_parameters() if p.grad is not None and not torch.isfinite(p.grad).all()]
    assert not missing and not broken


@pytest.mark.parametrize('model', PLAIN, indirect=True)
def test_the_optimizer_holds_every_parameter_once(request: pytest.FixtureRequest, model: torch.nn.Module) -> None:
    cfg = read(request.node.callspec.params['model']).optim_wrapper
    held = [id(p) for g in build_optim_wrapper(model, cfg).param_groups for p in g['params'] if p.requires_grad]
    assert sorted(held) == sorted({id(p) for p in model.parameters() if p.requires_grad})


@pytest.mark.parametrize('model', PLAIN, indirect=True)
def test_images_without_any_target_train(model: torch.nn.Module) -> None:
    train_step(model, tiny_batch(model, (0, 0)))
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert grads and all(torch.isfinite(g).all() for g in grads)


@pytest.mark.parametrize('model', PLAIN, indirect=True)
def test_inference_returns_masks_of_the_images_size(model: torch.nn.Module) -> None:
    model.eval()
    with torch.inference_mode():
        samples = model(**model.data_preprocessor(tiny_batch(model), training=False), mode='predict')
    assert sum(len(sample.pred_instances) for sample in samples) > 0
    for sample in samples:
        result = sample.pred_instances
        assert result.masks.shape == (len(result.scores), *sample.ori_shape)
        assert len(result.bboxes) == len(result.labels) == len(result.scores)
        assert set(result.labels.tolist()) <= set(range(4))


@pytest.mark.parametrize('config', NAMED, indirect=True)
def test_the_name_says_which_parts_are_in(config: Config) -> None:
    types = [str(entry.get('type')) for entry in nested(config.model.to_dict())]
    found = {part for part, prefix in PARTS.items() if any(t.startswith(prefix) for t in types)}
    assert found == set(PARTS) & set(Path(config.filename).stem.split('_'))


def test_datasets_are_ours(config: Config) -> None:
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        dataset = loader.dataset.get('dataset', loader.dataset)  # within a wrapper that resamples
        assert DATASETS.get(dataset.type) is mmdet_ir.datasets.IRDataset
        assert dataset.data_root.endswith('/')
    validation = config.val_dataloader.dataset
    assert config.val_evaluator.type == 'IRCocoMetric'
    assert config.val_evaluator.ann_file == validation.data_root + validation.ann_file


@pytest.mark.parametrize('name', [name for name in PLAIN if name.startswith('quickstart/')])
def test_the_dumped_config_reads_back_the_same(name: str, tmp_path: Path) -> None:
    read(name).dump(tmp_path / 'dumped.py')
    assert Config.fromfile(tmp_path / 'dumped.py').to_dict() == read(name).to_dict()
