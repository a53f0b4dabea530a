from .channels_last_hook import ChannelsLastHook
from .environment import EnvironmentHook, collect_environment
from .invalid_loss_hook import InvalidLossError, InvalidLossHook, add_invalid_loss_hook
from .resuming import ResumeHook, find_whole_checkpoint, make_resumable
from .stopping import EX_TEMPFAIL, StopRequest, TrainingStopped
from .visualization_hook import IRVisualizationHook

__all__ = [
    'EX_TEMPFAIL',
    'ChannelsLastHook',
    'EnvironmentHook',
    'IRVisualizationHook',
    'InvalidLossError',
    'InvalidLossHook',
    'ResumeHook',
    'StopRequest',
    'TrainingStopped',
    'add_invalid_loss_hook',
    'collect_environment',
    'find_whole_checkpoint',
    'make_resumable',
]
