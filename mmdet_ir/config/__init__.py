"""Configs: options that a command line sets over them, and names of types, in text style and in pure Python."""
