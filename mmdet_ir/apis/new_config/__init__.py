"""A config for a data set of one's own: classes, paths, depth, window and anchors are measured, not typed."""

from .write import NewConfig, new_config

__all__ = ['NewConfig', 'new_config']
