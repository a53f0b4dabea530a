"""Tools in forked processes, and a trained model, for the tests of the road (see ``road.py``)."""

import contextlib
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from mmengine.logging import MMLogger
from road import CLASSES, CONFIG, REPO, Done, Trained, coco, put, run_in_process, write_set


@pytest.fixture(scope='session')
def tool(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Done]:
    """Runs ``tools/NAME`` in a forked process, which spares the seconds that importing torch takes."""
    if not hasattr(os, 'fork'):
        pytest.skip('needs fork')
    import mmdet.apis
    import mmdet.models  # noqa: F401

    screens = tmp_path_factory.mktemp('screens')

    def run(name: str, *arguments: object) -> Done:
        screen = screens / f'{len(list(screens.iterdir()))}.txt'
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if not child:
            code = 70
            try:
                descriptor = os.open(screen, os.O_WRONLY | os.O_CREAT)
                os.dup2(descriptor, 1)
                os.dup2(descriptor, 2)
                sys.stdout, sys.stderr = os.fdopen(1, 'w'), os.fdopen(2, 'w')
                MMLogger._instance_dict.clear()  # (those of tests in this process write to its own screen)
                os.chdir(REPO)
                code = run_in_process(name, [str(argument) for argument in arguments])
            finally:
                if sys.exc_info()[0]:
                    traceback.print_exc()
                with contextlib.suppress(Exception):
                    sys.stdout.flush()
                    sys.stderr.flush()
                os._exit(code)
        _, status = os.waitpid(child, 0)
        return Done(os.waitstatus_to_exitcode(status), screen.read_text(errors='replace'))

    return run


@pytest.fixture
def write_config(tmp_path: Path) -> Callable[..., Path]:
    """Writes a set of four images and a config of a user's own: the small full method, one epoch of two steps."""

    def write(classes: tuple[str, ...] = CLASSES, more: str = '', name: str = 'mine') -> Path:
        root = tmp_path / f'{name}_data'
        write_set(root, coco(4, classes))
        text = CONFIG.format(repo=REPO, root=root, classes=classes, number=len(classes))
        return put(tmp_path / f'{name}.py', text + more)

    return write


@pytest.fixture(scope='session')
def trained(tool: Callable[..., Done], tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The small full method after two steps on a set with six classes of its own."""
    folder = tmp_path_factory.mktemp('trained')
    classes = ('person', 'truck', 'small boat', 'dog', 'hot engine', 'drone')
    write_set(folder / 'data', coco(4, classes))
    text = CONFIG.format(repo=REPO, root=folder / 'data', classes=classes, number=6)
    config = put(folder / 'six.py', text)
    tool('train.py', config, '--work-dir', folder / 'run').went_well()
    return Trained(config, folder / 'run' / 'epoch_1.pth', folder / 'data' / 'images')
