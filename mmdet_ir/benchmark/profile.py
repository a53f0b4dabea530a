"""Where the time of an inference or a training step goes: by part of the model, and by operator."""

import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import torch
from torch import nn
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile, record_function

from ..cli.choices import TORCHVISION
from .forms import detect_image, make_inferencer, reference_weights
from .run import Settings, read_images
from .subject import PROPOSALS, Subject, make_batch, make_proposals, named_parts
from .worker import WEIGHTS

ELSEWHERE = 'elsewhere'
_PREFIX = 'part: '
# What a part does is told by the method in which it does it.
_METHODS = ('forward', 'predict', 'loss', 'predict_by_feat', 'loss_by_feat', 'loss_and_target', 'loss_and_predict')
_OPERATORS = 20


def profile_call(
    action: Callable[[], object],
    model: nn.Module,
    repeats: int = 1,
    others: dict[str, tuple[object, str]] | None = None,
) -> dict[str, list[dict]]:
    """Profiles ``action`` on the CPU.

    Every operator counts for the innermost part in which it is called: a method of backbone, neck, a plugin of the
    neck, or a head. The profiler itself takes time for each operator, which appears between operators: compare that
    column with others of its kind only.

    Args:
        action: What is profiled, after one call that is not.
        model: The detector that ``action`` uses.
        repeats: Calls; numbers are for one.
        others: Further parts: name -> object and name of its method.

    Returns:
        ``groups``: rows with ``group``, ``total``, ``operators``, ``python`` (between the operators), all ms, and the
        ``share`` of the total; the last is the sum. ``operators``: the slowest, with ``operator``, ``group`` (where it
        takes most), ``calls`` and ``total`` ms.
    """
    action()
    with ExitStack() as stack:
        for name, (owner, method) in (_parts(model) | (others or {})).items():
            stack.enter_context(mock.patch.object(owner, method, _labelled(getattr(owner, method), name)))
        with profile(activities=[ProfilerActivity.CPU]) as recorded:
            for _ in range(repeats):
                with record_function(_PREFIX + ELSEWHERE):
                    action()
    return _summary(recorded.events(), repeats)


def _parts(model: nn.Module) -> dict[str, tuple[object, str]]:
    modules = dict(named_parts(model))
    modules['data_preprocessor'] = getattr(model, 'data_preprocessor', None)
    for name, part in list(modules.items()):
        plugins = getattr(part, 'plugins', None)
        if isinstance(plugins, nn.ModuleDict):
            modules |= {f'{name}.plugins.{stage}': plugin for stage, plugin in plugins.items()}
    found = {}
    for name, module in modules.items():
        for method in _METHODS:
            if callable(getattr(module, method, None)):
                found[name if method == 'forward' else f'{name}.{method}'] = (module, method)
    return found


def _labelled(method: Callable, name: str) -> Callable:
    def run(*args, **kwargs) -> object:
        with record_function(_PREFIX + name):
            return method(*args, **kwargs)

    return run


def _summary(events: list[FunctionEvent], repeats: int) -> dict[str, list[dict]]:
    operators, between = Counter(), Counter()
    calls, spent = Counter(), defaultdict(Counter)
    for event in events:
        group, label = _group(event)
        if group is None:
            continue
        milliseconds = event.self_cpu_time_total / 1000 / repeats
        if label:
            between[group] += milliseconds
            continue
        operators[group] += milliseconds
        spent[event.name][group] += milliseconds
        calls[event.name] += 1
    total = sum(operators.values()) + sum(between.values())
    groups = []
    for name in sorted({*operators, *between}, key=lambda name: -operators[name] - between[name]):
        groups.append(_row(name, operators[name], between[name], total))
    groups.append(_row('all', sum(operators.values()), sum(between.values()), total))
    slowest = sorted(spent, key=lambda name: -sum(spent[name].values()))[:_OPERATORS]
    rows = [
        {
            'operator': name,
            'group': spent[name].most_common(1)[0][0],
            'calls': calls[name] // repeats,
            'total': sum(spent[name].values()),
        }
        for name in slowest
    ]
    return {'groups': groups, 'operators': rows}


def _row(name: str, operators: float, between: float, total: float) -> dict:
    whole = operators + between
    return {
        'group': name,
        'total': whole,
        'operators': operators,
        'python': between,
        'share': whole / total if total else 0.0,
    }


def _group(event: FunctionEvent) -> tuple[str | None, bool]:
    """The innermost part around an event, and whether the event is that part's own label."""
    if event.name.startswith(_PREFIX):
        return event.name.removeprefix(_PREFIX), True
    parent = event.cpu_parent
    while parent is not None:
        if parent.name.startswith(_PREFIX):
            return parent.name.removeprefix(_PREFIX), False
        parent = parent.cpu_parent
    return None, False


def profile_step(subject: object, batch: dict, repeats: int) -> dict[str, list[dict]]:
    """A training step of a ``Subject``, with ``backward`` and ``optimizer`` as parts."""
    others = {'backward': (torch.Tensor, 'backward'), 'optimizer': (subject.optimizer, 'step')}
    return profile_call(lambda: subject.step(batch), subject.model, repeats, others)


def profile_model(settings: Settings, model: str) -> dict[str, dict[str, list[dict]]]:
    """Inference of all images in the layout of the config, and a training step, of a model of ``settings``.

    Returns:
        Title -> what :func:`profile_call` returns.

    Raises:
        ValueError: For a model that is not MMDetection's.
    """
    if model == TORCHVISION:
        raise ValueError(f'profile: expected a config, got {model}')
    job, checkpoint = settings.job, settings.models[model]
    batch = make_batch(job.size, job.batch, job.seed)
    proposals = None if checkpoint else make_proposals(batch, PROPOSALS, job.seed)
    images = read_images(settings)
    subject = Subject(model, job.device, proposals, checkpoint=checkpoint or None)
    inputs = {**batch, 'inputs': [torch.from_numpy(images[0])[None].repeat(3, 1, 1)]}
    threshold = None if checkpoint else subject.keep_detections(inputs)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder, WEIGHTS)
        reference_weights(subject.model, weights)
        inferencer = make_inferencer(model, str(weights), job.size, job.device, proposals, threshold)
    others = {'test pipeline': (inferencer, 'prepare')}

    def detect() -> None:
        for image in images:
            detect_image(inferencer, image)

    found = profile_call(detect, inferencer.model, settings.repeats, others)
    result = {f'inference of {len(images)} images': found}
    if settings.steps:
        result[f'training step of {job.batch} images'] = profile_step(subject, batch, settings.repeats)
    return result
