"""Necks."""

from .plugin_fpn import PluginFPN

__all__ = ['PluginFPN']
