"""Lets stock mmengine, mmcv and mmdet run on current PyTorch. Nothing outside this folder may patch them."""


def apply() -> None:
    """Prepares this process; safe to call more than once."""
