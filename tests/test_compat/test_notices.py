"""Which warnings stay off the screen."""

import warnings

from mmdet_ir.compat.notices import silence_notices

import pytest
import torch


@pytest.mark.parametrize(
    ('message', 'category', 'shown'),
    [
        ('torch.meshgrid: in an upcoming release, it will be required to pass the indexing', UserWarning, False),
        (
            "`torch.cuda.amp.autocast(args...)` is deprecated. Please use `torch.amp.autocast('cuda'",
            FutureWarning,
            False,
        ),
        ("'maxsplit' is passed as positional argument", DeprecationWarning, False),
        ('torch.meshgrid: in an upcoming release, it will be required to pass the indexing', FutureWarning, True),
        ('roi_align has no deterministic implementation', UserWarning, True),
    ],
)
def test_notices(message: str, category: type[Warning], shown: bool) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        silence_notices()
        warnings.warn(message, category, stacklevel=1)
    assert len(caught) == shown


def test_pytorchs_own_words_are_known() -> None:
    """The call that MMDetection's RTMDet-Ins makes, as PyTorch words its warning now."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        torch.cuda.amp.autocast(enabled=False)
        assert [entry.category for entry in caught] == [FutureWarning]
        caught.clear()
        silence_notices()
        torch.cuda.amp.autocast(enabled=False)
    assert caught == []
