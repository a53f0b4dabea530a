"""The loader of weights for all that scores, draws, exports or goes on with a model: they fit, or they are refused.

MMDetection loads what fits, leaves the rest at random and only warns.
"""

import os
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.model import BaseTTAModel, is_model_wrapper, revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.runner import CheckpointLoader
from torch import nn

from ...binary_masks import check_mask_thresholds
from ...datasets.validation.problem import shown
from ...datasets.wrappers import build_leaves, dataset_for_testing, leaves
from ...model_zoo import checkpoint_file
from .model_checks import check_class_counts
from .model_settings import tell_other_settings

# CondInst's auxiliary head; a checkpoint may have it or not, whatever the config says.
TRAINING_ONLY = ('mask_head.semantic_head.',)
OWN_CONFIG = 'Expected the config that the checkpoint was trained with (it lies beside it in the work dir)'
_NOT_LOADED = re.compile(r'(?:size mismatch for|While copying the parameter named) "?([\w.]+)')


@dataclass(frozen=True)
class Fit:
    """Which parameters and buffers of a model a checkpoint filled.

    Attributes:
        taken: Names in the model that the checkpoint filled.
        absent: Names in the model that the checkpoint lacks.
        misshapen: Names in the model whose shape in the checkpoint is another.
        foreign: Names in the checkpoint that the model lacks.
    """

    taken: tuple[str, ...]
    absent: tuple[str, ...]
    misshapen: tuple[str, ...]
    foreign: tuple[str, ...]


def unwrapped(model: nn.Module) -> nn.Module:
    """The model within wrappers for several processes and for test-time augmentation."""
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


def load_weights(model: nn.Module, checkpoint: Mapping, checkpoint_name: str) -> Fit:
    """Loads what fits and tells what does not.

    Args:
        model: Takes the weights, on whatever device it is.
        checkpoint: What the checkpoint file holds, or its ``state_dict`` alone.
        checkpoint_name: For the message.

    Raises:
        ValueError: If the checkpoint holds no weights, or what the model took of them is not finite.
    """
    source = checkpoint.get('state_dict', checkpoint)
    if not isinstance(source, Mapping) or not any(isinstance(value, torch.Tensor) for value in source.values()):
        keys = shown(list(map(str, source))) if isinstance(source, Mapping) else type(source).__name__
        raise ValueError(
            f"{checkpoint_name}: expected the weights of a model under the key 'state_dict', or alone in the file, "
            f'got none there, but {keys or "nothing"}; save them as {{"state_dict": ...}}'
        )
    weights = OrderedDict((name.removeprefix('module.'), value) for name, value in source.items())
    weights._metadata = getattr(source, '_metadata', {})
    names, misshapen = list(model.state_dict()), set()
    # (through torch, so that modules that convert weights while they load can do so)
    try:
        absent, foreign = model.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        misshapen = set(_NOT_LOADED.findall(str(error)))
        if not misshapen:
            raise
        for name in misshapen:  # (of a detector within another, the name in the file lacks the first part)
            weights.pop(name if name in weights else name.partition('.')[2], None)
        absent, foreign = model.load_state_dict(weights, strict=False)
    lost = {*absent, *misshapen}
    taken = [name for name in names if name not in lost]
    state = model.state_dict()
    check_finite({name: state[name] for name in taken}, checkpoint_name)
    return Fit(
        taken=tuple(taken),
        absent=tuple(name for name in absent if name not in misshapen),
        misshapen=tuple(name for name in names if name in misshapen),
        foreign=tuple(foreign),
    )


def check_finite(weights: Mapping[str, torch.Tensor], checkpoint_name: str) -> None:
    """Refuses weights that are not finite: a model with them finds nothing, and says nothing of it.

    Raises:
        ValueError: If there are such; the message names the first of them.
    """
    bad = [name for name, value in weights.items() if value.is_floating_point() and not value.isfinite().all()]
    if bad:
        raise ValueError(
            f'{checkpoint_name}: expected finite weights, got NaN or infinity in {len(bad)} parameters: {shown(bad)}; '
            'take an earlier checkpoint of the training'
        )


def load_fitting_weights(
    model: nn.Module,
    checkpoint: Mapping,
    config_name: str,
    checkpoint_name: str,
    classes: Sequence[str] | None = None,
    *,
    optional: tuple[str, ...] = TRAINING_ONLY,
    remedy: str = OWN_CONFIG,
) -> None:
    """Loads weights that fit the model in full, apart from parts that serve training only.

    Args:
        model: Takes the weights, on whatever device it is.
        checkpoint: What the checkpoint file holds, or its ``state_dict`` alone.
        config_name: For the message.
        checkpoint_name: For the message.
        classes: Names of the config's classes, by label; they have to be those that the checkpoint was trained on, if
            it names any.
        optional: Beginnings of the names of parameters that either side may lack.
        remedy: What the message advises.

    Raises:
        ValueError: If parameters of the model are missing, of another shape or not finite, the checkpoint has
            parameters that the model lacks, or its classes are others. The message names them; the model is then
            unusable.
    """
    fit = load_weights(model, checkpoint, checkpoint_name)
    wrong = [name for name in (*fit.absent, *fit.misshapen) if not name.startswith(optional)]
    foreign = [name for name in fit.foreign if not name.startswith(optional)]
    reasons = []
    if wrong:
        reasons.append(f'{len(wrong)} parameters are missing or of another shape: {shown(wrong)}')
    if foreign:
        reasons.append(f'{len(foreign)} parameters of the checkpoint are not in the model: {shown(foreign)}')
    if reasons:
        raise ValueError(f'{checkpoint_name} does not fit {config_name}: {"; ".join(reasons)}. {remedy}')
    trained = trained_classes(checkpoint)
    if None not in (classes, trained) and tuple(classes) != trained:
        order = ' in another order' if sorted(classes) == sorted(trained) else ''
        raise ValueError(
            f'{checkpoint_name} was trained on the classes {list(trained)}; {config_name} has {list(classes)}{order}. '
            f'Set metainfo.classes of its data sets to those of the checkpoint, in their order; if classes were only '
            f"renamed, a file with the checkpoint's 'state_dict' alone is taken with the config's names"
        )


def trained_classes(checkpoint: Mapping) -> tuple[str, ...] | None:
    """Names of the classes that a checkpoint was trained on, by label; ``None`` if it does not name them."""
    names = data_set_meta(checkpoint).get('classes')
    return (names,) if isinstance(names, str) else None if names is None else tuple(names)


def check_scored_classes(checkpoint: Mapping, tables: Mapping[str, Mapping], model: str, scores: str) -> None:
    """Refuses scores whose classes are not those that a checkpoint was trained on.

    Args:
        checkpoint: What the checkpoint file holds; without classes in it nothing is compared.
        tables: Rows by class, and ``all``, for each kind of detection, as ``IRCocoMetric`` saves them.
        model: What the checkpoint is, for the message.
        scores: File of the scores, for the message.

    Raises:
        ValueError: If the classes, or their order, are others.
    """
    trained = trained_classes(checkpoint)
    for kind, rows in tables.items():
        scored = tuple(name for name in rows if name != 'all')
        if trained is not None and scored != trained:
            raise ValueError(
                f'{scores}: {kind}: expected scores of the classes {list(trained)} that {model} was trained on, got '
                f'{list(scored)}: they are scores of another model'
            )


def data_set_meta(checkpoint: Mapping) -> dict:
    """What a checkpoint tells about the data set of its training, with keys in lower case, as they are now."""
    meta = checkpoint.get('meta')
    meta = meta if isinstance(meta, Mapping) else {}
    older = {key: meta[key] for key in ('CLASSES', 'PALETTE') if key in meta}  # of MMDetection 2
    return {key.lower(): value for key, value in {**older, **(meta.get('dataset_meta') or {})}.items()}


def test_set_meta(cfg: Config) -> dict:
    """``metainfo`` of a config's test set; reads no files."""
    first = leaves(dataset_for_testing(cfg))[0]
    return dict(build_leaves(first, lazy_init=True)[0].metainfo)


def fit_detector(model: nn.Module, checkpoint: Mapping, cfg: Config, checkpoint_name: str) -> None:
    """Loads weights into the model of a config, and notes classes and colours as ``model.dataset_meta``.

    Args:
        model: Built of ``cfg.model``.
        checkpoint: What the checkpoint file holds.
        cfg: Its test set says which classes there are, and in which colours they are drawn.
        checkpoint_name: For the message.

    Raises:
        ValueError: If the weights do not fit in full, or belong to other classes, see :func:`load_fitting_weights`; or
            if the model has another number of classes than the test set.
    """
    check_mask_thresholds(model)
    meta, name = test_set_meta(cfg), str(cfg.filename or 'the config')
    load_fitting_weights(model, checkpoint, name, checkpoint_name, meta.get('classes'))
    check_class_counts(model, meta.get('classes'), 'test_dataloader.dataset')
    tell_other_settings(checkpoint, checkpoint_name, cfg)
    model.dataset_meta = {**data_set_meta(checkpoint), **meta}


def load_detector(cfg: Config, checkpoint: str | os.PathLike, device: str | None = None) -> nn.Module:
    """Builds the detector of a config with trained weights, ready to predict.

    Args:
        cfg: The config.
        checkpoint: File or URL.
        device: Defaults to the GPU if there is one.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: See :func:`fit_detector`.

    Example:
        >>> from mmengine.config import Config
        >>> from mmdet_ir.engine import load_detector
        >>> type(load_detector(Config.fromfile('config.py'), 'weights.pth', 'cpu')).__name__
        'MaskRCNN'
    """
    content = CheckpointLoader.load_checkpoint(require_checkpoint(str(checkpoint)), map_location='cpu')
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    settings = deepcopy(cfg.model)
    if 'backbone' in settings:
        settings.backbone.init_cfg = None  # the checkpoint has all weights
    model = revert_sync_batchnorm(MODELS.build(settings))
    fit_detector(model, content, cfg, str(checkpoint))
    model.cfg = cfg
    return model.to(device or ('cuda' if torch.cuda.is_available() else 'cpu')).eval()


def require_checkpoint(checkpoint: str) -> str:
    """The file or URL of a checkpoint, which may be given by the name of a model of the package.

    Raises:
        FileNotFoundError: If there is no such file.

    Example:
        >>> from mmdet_ir.engine import require_checkpoint
        >>> require_checkpoint('weights.pth')
        'weights.pth'
    """
    checkpoint = checkpoint_file(checkpoint)
    if '://' not in checkpoint and not os.path.isfile(checkpoint):
        raise FileNotFoundError(f'checkpoint not found: expected a file or URL, got {checkpoint!r}')
    return checkpoint


def check_start(model: nn.Module, fit: Fit, checkpoint_name: str) -> tuple[str, list[str]]:
    """Judges weights that a training starts from (``load_from``), of which only a part has to fit.

    Args:
        model: That took them.
        fit: See :func:`load_weights`.
        checkpoint_name: For the message.

    Returns:
        A line that says what was taken and which layers start anew; and warnings.

    Raises:
        ValueError: If nothing fits, or the backbone is another.
    """
    total = len(fit.taken) + len(fit.absent) + len(fit.misshapen)
    label = f'load_from={checkpoint_name}'
    if not fit.taken:
        raise ValueError(
            f'{label}: none of its parameters ({shown(fit.foreign or fit.misshapen)}) fits the model '
            f'({shown(list(model.state_dict()))}). Expected the checkpoint of a detector, with these names; the '
            f'weights of a backbone alone belong to model.backbone.init_cfg'
        )
    counts = {
        key: [name for name in getattr(fit, key) if name.startswith('backbone.') and not _is_statistic(name)]
        for key in ('taken', 'absent', 'misshapen', 'foreign')
    }
    taken, others = len(counts['taken']), [*counts['misshapen'], *counts['absent'], *counts['foreign']]
    own, theirs = taken + len(counts['absent']) + len(counts['misshapen']), taken + len(counts['foreign'])
    if own and (2 * taken < own or 2 * taken < theirs):
        raise ValueError(
            f'{label}: the backbone is another: {taken} of the {own} parameters of model.backbone fit, not '
            f'{shown(others)}. Expected weights of a detector with the backbone of the config'
        )
    depths = _other_lengths(model.state_dict(), [*fit.taken, *fit.misshapen, *fit.foreign])
    if depths:
        raise ValueError(
            f'{label}: the backbone is another: {"; ".join(depths)}. Expected weights of a detector with the backbone '
            f'of the config'
        )
    warnings = []
    if others:
        warnings.append(
            f'{label}: the backbone is not the same: {taken} of the {own} parameters of model.backbone were taken; '
            f'missing, of another shape or left over: {shown(others)}'
        )
    line = f'{label}: {len(fit.taken)} of {total} parameters taken'
    anew = [_layers(model, names) for names in (fit.misshapen, fit.absent)]
    told = [
        f'{shown(layers)} ({why})'
        for layers, why in zip(anew, ('of another shape in the file', 'not in the file'), strict=True)
        if layers
    ]
    line += f'; these layers start anew: {"; ".join(told)}' if told else ', all of them'
    if fit.foreign:
        line += f'; {len(fit.foreign)} of the file are not used: {shown(fit.foreign)}'
    return line, warnings


def _other_lengths(own: Iterable[str], theirs: Iterable[str]) -> list[str]:
    """Stacks of equal layers in the backbone that are longer or shorter in a file than in the model."""
    lengths = []
    for names in (own, theirs):
        found: dict[str, set[str]] = {}
        for name in names:
            parts = name.split('.')
            for place, part in enumerate(parts):
                if part.isdigit() and place > 1 and parts[0] == 'backbone':
                    found.setdefault('.'.join(parts[:place]), set()).add(part)
        lengths.append({stack: len(members) for stack, members in found.items()})
    mine, other = lengths
    return [
        f'{stack} has {other[stack]} layers in the file and {number} in the model'
        for stack, number in mine.items()
        if other.get(stack, number) != number
    ]


def _is_statistic(name: str) -> bool:
    return name.endswith(('running_mean', 'running_var', 'num_batches_tracked'))


def _layers(model: nn.Module, names: Iterable[str]) -> list[str]:
    """The modules that hold these parameters; the outermost ones of which all parameters are among them."""
    chosen, found = set(names), []
    everything = list(model.state_dict())
    for name in names:
        parts = name.split('.')
        for length in range(1, len(parts)):
            prefix = '.'.join(parts[:length])
            if all(other in chosen for other in everything if other.startswith(f'{prefix}.')):
                break
        else:
            prefix = '.'.join(parts[:-1]) or name
        if prefix not in found:
            found.append(prefix)
    return found
