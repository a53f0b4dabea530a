"""Every layer and loss of this project, on the GPU against the CPU."""

import copy

import pytest
import torch
from gpu_cases import DEVICE, DTYPES, LAYOUTS, agree, close, random
from mmdet.registry import MODELS
from mmengine.registry import init_default_scope
from torch import Tensor, nn

pytestmark = pytest.mark.gpu
BOXES = torch.tensor([[1.0, 2, 11, 9], [3, 1, 14, 12], [20, 30, 52, 38], [40, 8, 44, 30]])
NEAR = BOXES + torch.tensor([[1.0, -1, 2, 1], [-1, 2, 1, 3], [4, -2, 6, 1], [1, 3, -1, 2]])
LEVELS = [random(2, 8, 16, 12), random(2, 16, 8, 6, seed=1), random(2, 24, 4, 3, seed=2)]
LAYERS = {
    'SqueezeAttention': ({'in_channels': 8}, LEVELS[:1]),
    'BNSA': ({'in_channels': 8, 'reduction': 4}, LEVELS[:1]),
    'PluginFPN': (
        {
            'in_channels': [8, 16, 24],
            'out_channels': 8,
            'num_outs': 4,
            'plugin': {'type': 'BNSA', 'reduction': 4},
            'plugin_stages': (0, 1),
        },
        LEVELS,
    ),
    'InstanceContextEncoder': ({'in_channels': [8, 16, 24], 'out_channels': 8, 'pool_sizes': (1, 2)}, LEVELS),
    'BasisModule': (
        {'in_channels': 8, 'num_classes': 4, 'channels': 8, 'num_convs': 1},
        [random(2, 8, side, side, seed=side) for side in (16, 8, 4)],
    ),
    'GreyStemResNet': (
        {'depth': 18, 'base_channels': 8, 'stem_channels': 8, 'norm_eval': True},
        [random(2, 1, 64, 48)],
    ),
    # (with batch statistics: without training it makes values too small for float16)
    'EfficientNetLite': ({'norm_eval': False, 'out_indices': (2, 3)}, [random(2, 3, 96, 96)]),
}


def distinct_logits(*shape: int) -> Tensor:
    """Values that are distinct in every type, in a random order: the Lovasz loss sorts them."""
    count, number = shape[0], int(torch.tensor(shape[1:]).prod())
    order = torch.stack([torch.randperm(number, generator=torch.Generator().manual_seed(i)) for i in range(count)])
    return torch.linspace(-3.9, 4.1, number)[order].view(shape)


def masks(*shape: int) -> Tensor:
    return (random(*shape, seed=5) > 0.3).float()


def box_loss(module: nn.Module, pred: Tensor) -> Tensor:
    return module(pred, BOXES.to(pred))


LOSSES = {
    'FocalCIoULoss': (box_loss, [NEAR]),
    'FocalEIoULoss': (box_loss, [NEAR]),
    'FocalSIoULoss': (box_loss, [NEAR]),
    'MBCEDiceLovaszLoss': (
        lambda module, pred: module(
            pred, masks(4, 14, 14).to(pred.device), torch.tensor([0, 2, 1, 2], device=pred.device)
        ),
        [distinct_logits(4, 3, 14, 14)],
    ),
    'MBCEDiceLovaszInstanceLoss': (
        lambda module, pred: module(pred, masks(4, 14, 14).to(pred.device)),
        [distinct_logits(4, 14, 14)],
    ),
}


def build(name: str, settings: dict) -> nn.Module:
    init_default_scope('mmdet')
    torch.manual_seed(0)
    module = MODELS.build({'type': name, **settings})
    if hasattr(module, 'init_weights'):
        module.init_weights()
    module.train()  # (MMDetection's backbones return nothing from it)
    return module


def maps(module: nn.Module, *inputs: Tensor) -> list[Tensor]:
    found = module(inputs if len(inputs) > 1 else inputs[0])
    return [found] if isinstance(found, Tensor) else [value for value in found if value is not None]


@pytest.mark.parametrize('layout', LAYOUTS, ids=['contiguous', 'channels-last'])
@pytest.mark.parametrize('dtype', DTYPES, ids=str)
@pytest.mark.parametrize('name', LAYERS)
def test_layers(name: str, dtype: torch.dtype, layout: torch.memory_format) -> None:
    """In the low types, deep networks are compared by their outputs under autocast, as they are trained."""
    settings, inputs = LAYERS[name]
    module = build(name, settings)
    if dtype is torch.float32:
        agree(maps, inputs, dtype, layout, module)
        return

    expected = maps(module, *inputs)
    own = copy.deepcopy(module).to(DEVICE).to(memory_format=layout)
    given = [value.to(DEVICE).contiguous(memory_format=layout) for value in inputs]
    with torch.autocast(DEVICE, dtype):
        outputs = maps(own, *given)
    sum(output.float().square().mean() for output in outputs).backward()
    assert all(torch.isfinite(p.grad).all() for p in own.parameters() if p.grad is not None)
    for got, wanted in zip(outputs, expected, strict=True):
        close(got, wanted, dtype, name)


@pytest.mark.parametrize('dtype', DTYPES, ids=str)
@pytest.mark.parametrize('name', LOSSES)
def test_losses(name: str, dtype: torch.dtype) -> None:
    function, inputs = LOSSES[name]
    loss = build(name, {})
    agree(lambda *values: function(loss, *values), inputs, dtype)


def test_every_layer_and_loss_has_a_case() -> None:
    """The registered ones in the packages of layers, losses, necks and backbones; heads are run with their models."""
    rooms = tuple(f'mmdet_ir.models.{room}' for room in ('layers', 'losses', 'necks', 'backbones'))
    ours = {name for name, kind in MODELS.module_dict.items() if kind.__module__.startswith(rooms)}
    assert ours <= LAYERS.keys() | LOSSES.keys()
