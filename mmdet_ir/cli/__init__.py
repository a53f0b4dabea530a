"""What every tool shares: one parser, errors in one line, ``NAME=FILE``. Imports nothing that takes long."""

from .entries import named_entries, split_entry
from .errors import run_tool
from .parser import add_cfg_options, add_device, add_image_key, add_launcher, add_model, add_tiles, tool_parser
from .skipping import Skipped, reading

__all__ = [
    'Skipped',
    'add_cfg_options',
    'add_device',
    'add_image_key',
    'add_launcher',
    'add_model',
    'add_tiles',
    'named_entries',
    'reading',
    'run_tool',
    'split_entry',
    'tool_parser',
]
