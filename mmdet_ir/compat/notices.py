"""Warnings of other libraries about their own calls of PyTorch and of each other: a user cannot act on them."""

import functools
import warnings
from collections.abc import Callable

import mmengine.fileio.file_client
import mmengine.registry
from mmengine.registry import Registry

# Start of the message, category.
NOTICES = (
    ('torch.meshgrid: in an upcoming release', UserWarning),
    (r'`torch\.cuda\.amp\.(autocast|GradScaler)\(args\.\.\.\)` is deprecated', FutureWarning),
    ('__array__ implementation doesn', DeprecationWarning),  # pycocotools, about NumPy
    ("'(maxsplit|count|flags)' is passed as positional argument", DeprecationWarning),  # mmengine, from Python 3.13 on
)
# Start of what mmengine logs whenever it makes its own client of files, for one of its hooks or functions.
FILE_CLIENT_NOTICES = ('"FileClient" will be deprecated', '"HardDiskBackend" is the alias of "LocalBackend"')
SCOPE = 'mmdet'


def silence_notices() -> None:
    for message, category in NOTICES:
        warnings.filterwarnings('ignore', message, category)
    file_client = mmengine.fileio.file_client
    file_client.print_log = _without_file_client_notices(file_client.print_log)


def _without_file_client_notices(stock: Callable) -> Callable:
    @functools.wraps(stock)
    def print_log(message: object, *args: object, **kwargs: object) -> None:
        if not str(message).startswith(FILE_CLIENT_NOTICES):
            stock(message, *args, **kwargs)

    return print_log


def complete_registries() -> None:
    """Gives MMDetection a registry of each kind, as mmengine warns where a kind (collate functions) has none.

    Those that MMDetection lacks are empty, so mmengine's own entries are found as before.
    """
    for root in list(vars(mmengine.registry).values()):
        if isinstance(root, Registry) and root.parent is None and SCOPE not in root.children:
            Registry(root.name, parent=root, scope=SCOPE, locations=[f'{SCOPE}.registry'])
