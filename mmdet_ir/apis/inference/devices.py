"""The device that a model runs on: the one that is named, if it is there, else the GPU or the CPU."""

import torch


def usable_device(name: str | None) -> str:
    """The name of a device that is there.

    Args:
        name: Such as ``'cpu'`` or ``'cuda:1'``; ``None`` takes the GPU if there is one.

    Raises:
        ValueError: If it is no device, or is not there; the message says which are.
    """
    if name is None:
        return 'cuda' if torch.cuda.is_available() else 'cpu'
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f'device: expected a name such as cpu or cuda:1, got {name!r}') from error
    if device.type == 'cuda' and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f'device: expected {_devices_in_words()}, got {name!r}')
    return name


def _devices_in_words() -> str:
    """What may stand for a device here, and why there is no GPU where there is none."""
    if torch.cuda.device_count():
        return f'one of {torch.cuda.device_count()} GPUs, from cuda:0 on, or cpu'
    if torch.version.cuda is None:
        return f'cpu, since torch {torch.__version__} was built without CUDA'
    return (
        f'cpu, since torch {torch.__version__}, built for CUDA {torch.version.cuda}, finds no NVIDIA driver or no GPU'
    )
