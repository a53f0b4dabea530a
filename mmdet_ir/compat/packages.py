"""What mmengine and mmcv ask about installed packages, answered by ``importlib``.

Stock mmengine 0.10.7 asks ``pkg_resources``, which setuptools dropped in version 82, and mmcv 2.1.0 asks
``pkgutil.find_loader``, which Python dropped in version 3.14. The fork of mmdet imports ``imgaug`` for a transform of
lanes; its package wants an OpenCV that is older than ours, so without it a stand-in fails when it is called.
"""

import contextlib
import importlib.abc
import importlib.util
import io
import os
import sys
from collections.abc import Callable
from importlib import metadata
from importlib.machinery import ModuleSpec
from types import ModuleType

import mmcv.utils.ext_loader
import mmengine.utils.dl_utils.misc
import mmengine.utils.package_utils


def is_installed(package: str) -> bool:
    """Whether there is a distribution or an importable package of this name; a namespace package does not count."""
    try:
        metadata.distribution(package)
    except metadata.PackageNotFoundError:
        spec = importlib.util.find_spec(package)
        return spec is not None and spec.origin is not None
    return True


def package2module(package: str) -> str:
    """The name under which a distribution is imported, such as ``mmcv`` for ``mmcv-lite``.

    Raises:
        PackageNotFoundError: If the distribution is not installed.
        ValueError: If it does not say.
    """
    text = metadata.distribution(package).read_text('top_level.txt')
    if not text:
        raise ValueError(f'{package}: expected a distribution that names its modules (top_level.txt), got none')
    return text.split()[0]


def get_installed_path(package: str) -> str:
    """The folder from which a package is imported.

    Args:
        package: Name of a package, or of a distribution whose package has another name.

    Raises:
        PackageNotFoundError: If there is neither.
        RuntimeError: For a namespace package, which has no folder of its own.
    """
    name = package
    spec = importlib.util.find_spec(name)
    if spec is None:
        name = package2module(package)
        spec = importlib.util.find_spec(name)
    if spec is None:
        raise metadata.PackageNotFoundError(package)
    if spec.origin is None:
        raise RuntimeError(f'{package}: expected a package with a folder of its own, got a namespace package')
    return os.path.dirname(spec.origin)


def has_compiled_operators() -> bool:
    """Whether ``mmcv._ext`` can be imported."""
    return importlib.util.find_spec('mmcv._ext') is not None


class AbsentPackage(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Last on ``sys.meta_path``: lets a package that is not installed be imported, with any names, all of no use.

    Args:
        package: Name.
        remedy: How to get it.
    """

    def __init__(self, package: str, remedy: str) -> None:
        self.package = package
        self.remedy = remedy

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if fullname.partition('.')[0] != self.package:
            return None
        return importlib.util.spec_from_loader(fullname, self, is_package=True)

    def exec_module(self, module: ModuleType) -> None:
        module.__getattr__ = self._nothing

    def _nothing(self, name: str) -> Callable:
        if name.startswith('__'):
            raise AttributeError(name)

        def absent(*args: object, **kwargs: object) -> None:
            raise ImportError(f'{self.package}.{name}: {self.package} is not installed: {self.remedy}')

        return absent


def serve_absent_packages() -> None:
    """Stands in for what mmdet imports and never needs for instance segmentation."""
    if not any(isinstance(finder, AbsentPackage) for finder in sys.meta_path):
        sys.meta_path.append(AbsentPackage('imgaug', '`pip install imaug` (it replaces OpenCV by an older one)'))


def import_mmdet_without_its_notice() -> None:
    """Imports mmdet's data sets; the fork prints of a commercial package, twice, that it could not import it."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        importlib.import_module('mmdet.datasets')
    for line in said.getvalue().splitlines(keepends=True):
        if 'Could not import OneDL' not in line:
            sys.stdout.write(line)


def serve_package_queries() -> None:
    """Puts these functions in the place of the stock ones, wherever they were imported by name."""
    package_utils, misc = mmengine.utils.package_utils, mmengine.utils.dl_utils.misc
    for function in (is_installed, package2module, get_installed_path):
        _replace(package_utils, function.__name__, function)
    _replace(misc, 'mmcv_full_available', has_compiled_operators)
    _replace(mmcv.utils.ext_loader, 'check_ops_exist', has_compiled_operators)


def _replace(owner: ModuleType, name: str, function: Callable) -> None:
    stock = getattr(owner, name)
    for key, module in list(sys.modules.items()):
        if key.partition('.')[0] in ('mmengine', 'mmcv', 'mmdet') and vars(module).get(name) is stock:
            setattr(module, name, function)
