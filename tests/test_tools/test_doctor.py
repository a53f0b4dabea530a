"""tools/doctor.py on this set-up, and on set-ups that are broken for it."""

import json
import platform
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def test_a_working_setup(python_tool: Callable) -> None:
    report = json.loads(python_tool('doctor.py', '--json').stdout)
    assert report['problems'] == []
    family = (
        ('onedl-mmengine', 'onedl-mmdetection') if 'onedl-mmengine' in report['versions'] else ('mmengine', 'mmdet')
    )
    for name in ('torch', 'torchvision', *family, 'numpy', 'pycocotools'):
        assert report['versions'][name] == metadata.version(name)
    assert report['operators'] in ('mmcv', 'torchvision')
    assert report['devices']['cpu']['cores'] >= 1 and report['devices']['cpu']['bf16'] in (True, False)
    assert set(report['self_test'].values()) == {'passed'}


@pytest.mark.skipif(platform.machine() != 'x86_64', reason='the variable is one of oneDNN for x86')
def test_a_processor_without_bfloat16_is_told(python_tool: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('ONEDNN_MAX_CPU_ISA', 'AVX2')
    assert json.loads(python_tool('doctor.py', '--json').stdout)['devices']['cpu']['bf16'] is False


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


def test_both_families(python_tool: Callable, tmp_path: Path) -> None:
    """A distribution of the other family beside those that are installed; the sentences are written out here."""
    stock = metadata.packages_distributions()['mmdet'] == ['mmdet']
    other = 'onedl-mmdetection' if stock else 'mmdet'
    record = tmp_path / f'{other.replace("-", "_")}-3.5.1.dist-info'
    record.mkdir()
    (record / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {other}\nVersion: 3.5.1\n')
    done = python_tool('doctor.py', expect=1, PYTHONPATH=str(tmp_path))
    assert f'torch                    {metadata.version("torch")}' in done.stdout
    assert f'{other:24} 3.5.1' in done.stdout
    if stock:
        assert 'Problem 1: mmcv-lite, mmdet, mmengine and onedl-mmdetection are installed together' in done.stdout
        assert 'mend it: `pip uninstall -y mmcv-lite mmdet mmengine onedl-mmdetection`, then' in done.stdout
