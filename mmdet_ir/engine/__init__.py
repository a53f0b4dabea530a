from .channels_last_hook import ChannelsLastHook
from .invalid_loss_hook import InvalidLossError, InvalidLossHook, add_invalid_loss_hook
from .resuming import ResumeHook, find_whole_checkpoint, make_resumable
from .stopping import EX_TEMPFAIL, StopRequest, TrainingStopped

__all__ = [
    'EX_TEMPFAIL',
    'ChannelsLastHook',
    'InvalidLossError',
    'InvalidLossHook',
    'ResumeHook',
    'StopRequest',
    'TrainingStopped',
    'add_invalid_loss_hook',
    'find_whole_checkpoint',
    'make_resumable',
]
