"""Checks of COCO files and their images: what is wrong, where, and what to do about it.

``check_structure`` comes first and hands on the entries that the other checks can rely on. The cheap checks (without
reading images) are also what ``IRDataset`` runs before training; ``tools/data/validate.py`` runs all of them.
"""
