"""What happens around a training: hooks, resuming, stopping, weights that fit, the environment of a run."""

from .channels_last_hook import ChannelsLastHook
from .environment import EnvironmentHook, collect_environment
from .fitting.fitting_hook import FittingHook, add_fitting_checks
from .fitting.weights import load_detector, load_fitting_weights, require_checkpoint
from .invalid_loss_hook import InvalidLossError, InvalidLossHook, add_invalid_loss_hook
from .resuming import ResumeHook, find_whole_checkpoint, make_resumable
from .stopping import EX_TEMPFAIL, StopRequest, TrainingStopped
from .visualization_hook import IRVisualizationHook
from .warm_up import LinearWarmupLR

__all__ = [
    'EX_TEMPFAIL',
    'ChannelsLastHook',
    'EnvironmentHook',
    'FittingHook',
    'IRVisualizationHook',
    'InvalidLossError',
    'InvalidLossHook',
    'LinearWarmupLR',
    'ResumeHook',
    'StopRequest',
    'TrainingStopped',
    'add_fitting_checks',
    'add_invalid_loss_hook',
    'collect_environment',
    'find_whole_checkpoint',
    'load_detector',
    'load_fitting_weights',
    'make_resumable',
    'require_checkpoint',
]
