"""Says what a broken installation lacks, before it fails somewhere deep inside another library."""

import importlib.util
import warnings

import torch

# Before 2.6, a checkpoint could run code even under weights_only=True (CVE-2025-32434).
MINIMUM_TORCH = (2, 6)


def require_working_setup() -> None:
    """Checks what mmengine and this package need and cannot report well themselves.

    Raises:
        ImportError: What is missing or too old, and the command that mends it.
    """
    if importlib.util.find_spec('pkg_resources') is None:
        raise ImportError(
            "mmengine needs 'pkg_resources', which setuptools dropped in version 82: "
            'run `pip install "setuptools<81"` in this environment'
        )
    # It is pinned on purpose; the notice would stand above the output of every tool.
    warnings.filterwarnings('ignore', 'pkg_resources is deprecated', UserWarning)
    version = torch.__version__
    if tuple(int(part) for part in version.split('.')[:2]) < MINIMUM_TORCH:
        raise ImportError(
            f'expected torch 2.6 or newer, got {version}: older versions can run code hidden in a checkpoint, even '
            'when told not to (CVE-2025-32434): run `pip install -U torch torchvision`'
        )
