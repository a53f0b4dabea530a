"""tools/doctor.py on this set-up, and on set-ups that are broken for it."""

import json
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def test_a_working_setup(python_tool: Callable) -> None:
    report = json.loads(python_tool('doctor.py', '--json').stdout)
    assert report['problems'] == []
    for name in ('torch', 'torchvision', 'mmengine', 'mmdet', 'numpy', 'pycocotools', 'setuptools'):
        assert report['versions'][name] == metadata.version(name)
    assert report['operators'] in ('mmcv', 'torchvision')
    assert report['devices']['cpu']['cores'] >= 1
    assert set(report['self_test'].values()) == {'passed'}


@pytest.mark.parametrize(
    ('file', 'content', 'problem', 'remedy'),
    [
        (
            'cv2.py',
            "raise ImportError('libGL.so.1: cannot open shared object file: No such file or directory')",
            'libGL.so.1',
            'opencv-python-headless',
        ),
        (
            'torchvision.py',
            "raise RuntimeError('operator torchvision::nms does not exist')",
            'operator torchvision::nms does not exist',
            'torch and torchvision do not fit each other: `pip install -U torch torchvision`',
        ),
        (
            'sitecustomize.py',
            "import sys\nsys.modules['pkg_resources'] = None",
            'has no pkg_resources, which mmengine needs',
            'pip install "setuptools<81"',
        ),
    ],
)
def test_a_broken_setup(
    python_tool: Callable, tmp_path: Path, file: str, content: str, problem: str, remedy: str
) -> None:
    """Each file stands before the real package and fails in the way the real one does."""
    (tmp_path / file).write_text(content)
    done = python_tool('doctor.py', '--json', expect=1, PYTHONPATH=str(tmp_path))
    problems = json.loads(done.stdout)['problems']
    assert len(problems) == 1
    assert problem in problems[0]['problem']
    assert remedy in problems[0]['remedy']


def test_two_packages_that_overwrite_each_other(python_tool: Callable, tmp_path: Path) -> None:
    other = 'mmcv' if metadata.packages_distributions()['mmcv'] == ['mmcv-lite'] else 'mmcv-lite'
    record = tmp_path / f'{other.replace("-", "_")}-2.1.0.dist-info'
    record.mkdir()
    (record / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {other}\nVersion: 2.1.0\n')
    done = python_tool('doctor.py', expect=1, PYTHONPATH=str(tmp_path))
    assert f'torch                    {metadata.version("torch")}' in done.stdout
    assert 'Problem 1: mmcv and mmcv-lite are both installed and overwrite each other' in done.stdout
    assert 'mend it: `pip uninstall -y mmcv mmcv-lite`, then install one of them' in done.stdout
