"""Whether a checkpoint belongs to a model; MMDetection loads what fits, leaves the rest at random and only warns."""

import re
from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import nn

from ...datasets.validation.problem import shown

# CondInst's auxiliary head; a checkpoint may have it or not, whatever the config says.
TRAINING_ONLY = ('mask_head.semantic_head.',)
_NOT_LOADED = re.compile(r'(?:size mismatch for|While copying the parameter named) "?([\w.]+)')


def load_fitting_weights(model: nn.Module, checkpoint: Mapping, config_name: str, checkpoint_name: str) -> None:
    """Loads weights that fit the model in full, apart from parts that serve training only.

    Args:
        model: Takes the weights, on whatever device it is.
        checkpoint: What the checkpoint file holds, or its ``state_dict`` alone.
        config_name: For the message.
        checkpoint_name: For the message.

    Raises:
        ValueError: If parameters of the model are missing or of another shape, or the checkpoint has parameters that
            the model lacks. The message names them; the model is then unusable.
    """
    weights = checkpoint.get('state_dict', checkpoint)
    if not isinstance(weights, Mapping) or not any(isinstance(value, torch.Tensor) for value in weights.values()):
        raise ValueError(f'{checkpoint_name}: expected the weights of a model, got a file without any')
    weights = OrderedDict((name.removeprefix('module.'), value) for name, value in weights.items())
    weights._metadata = getattr(checkpoint.get('state_dict', checkpoint), '_metadata', {})
    names = list(model.state_dict())
    try:
        # (through torch, so that modules that convert weights while they load can do so)
        absent, foreign = model.load_state_dict(weights, strict=False)
        misshapen = set()
    except RuntimeError as error:
        misshapen = set(_NOT_LOADED.findall(str(error)))
        if not misshapen:
            raise
        absent, foreign = set(names) - set(weights), [name for name in weights if name not in names]
    wrong = [name for name in names if name in misshapen or (name in absent and not _training_only(name))]
    foreign = [name for name in foreign if not _training_only(name)]
    reasons = []
    if wrong:
        reasons.append(f'{len(wrong)} parameters are missing or of another shape: {shown(wrong)}')
    if foreign:
        reasons.append(f'{len(foreign)} parameters of the checkpoint are not in the model: {shown(foreign)}')
    if reasons:
        raise ValueError(
            f'{checkpoint_name} does not fit {config_name}: {"; ".join(reasons)}. Expected the config that the '
            f'checkpoint was trained with (it lies beside it in the work dir)'
        )


def _training_only(name: str) -> bool:
    return name.startswith(TRAINING_ONLY)
