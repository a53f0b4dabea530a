"""Puts configs and tools into the package, where ``_base_ = 'mmdet_ir::...'`` finds them, as MMDetection does."""

import os
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
SHIPPED = ('configs', 'tools', 'model-index.yml')


class BuildWithConfigs(build_py):
    """Copies them into the built package; an editable installation gets links to them."""

    def run(self) -> None:
        super().run()
        in_place = getattr(self, 'editable_mode', False)
        target = (ROOT if in_place else Path(self.build_lib)) / 'mmdet_ir' / '.mim'
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for name in SHIPPED:
            if in_place:
                os.symlink(Path('..', '..', name), target / name)
            elif (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns('__pycache__'))
            else:
                shutil.copyfile(ROOT / name, target / name)


setup(cmdclass={'build_py': BuildWithConfigs})
