"""Explains a model, a training or a data set: the rooms behind ``tools/analysis`` and ``tools/data/browse.py``."""
