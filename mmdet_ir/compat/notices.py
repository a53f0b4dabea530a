"""Warnings of other libraries about their own calls of PyTorch: a user cannot act on them."""

import warnings

# Start of the message, category.
NOTICES = (
    ('torch.meshgrid: in an upcoming release', UserWarning),
    (r'`torch\.cuda\.amp\.(autocast|GradScaler)\(args\.\.\.\)` is deprecated', FutureWarning),
    ('__array__ implementation doesn', DeprecationWarning),  # pycocotools, about NumPy
    ("'(maxsplit|count|flags)' is passed as positional argument", DeprecationWarning),  # mmengine, from Python 3.13 on
)


def silence_notices() -> None:
    for message, category in NOTICES:
        warnings.filterwarnings('ignore', message, category)
