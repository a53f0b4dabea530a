"""How the threads of PyTorch wait for each other on CPUs; has to be said before PyTorch is imported."""

import os
import sys

# What a user may have set: OpenMP's own, and those of its implementations (libgomp's and Intel's).
VARIABLES = ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT', 'KMP_BLOCKTIME')


def wait_without_spinning() -> bool:
    """Lets threads that wait for others sleep, unless the environment says how they wait.

    By default they spin, and take the processor from what they wait for as soon as another program is busy: a training
    step of the demo then takes many times as long (``tools/analysis/benchmark_waiting.py``). The number of
    threads stays as it is: results would differ in their last bits with what else the machine happens to do.

    Returns:
        Whether it was set.
    """
    if 'torch' in sys.modules or any(name in os.environ for name in VARIABLES):
        return False
    os.environ['OMP_WAIT_POLICY'] = 'PASSIVE'
    return True
