"""What the packages export has a docstring and an example that runs."""

import doctest
import importlib
import inspect
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import mmdet_ir

import pytest

sys.path.append(str(Path(__file__).parents[1] / 'test_deploy'))
from tiny_problem import write_problem

PACKAGES = sorted(
    '.'.join(path.parent.relative_to(Path(mmdet_ir.__file__).parents[1]).parts)
    for path in Path(mmdet_ir.__file__).parent.rglob('__init__.py')
)
# Steps that the tools take on a runner or a release of gigabytes; they are shown where they are tested.
WITHOUT_EXAMPLE = {
    'FittingHook',
    'NewConfig',
    'ResumeHook',
    'add_fitting_checks',
    'add_invalid_loss_hook',
    'convert_cvat_coco',
    'convert_drone_ir',
    'convert_flir_v1',
    'convert_flir_v2',
    'convert_hit_uav',
    'convert_labelme',
    'convert_voc',
    'convert_yolo_seg',
    'load_fitting_weights',
    'make_record',
    'make_resumable',
    'draw_grid',
    'labels_back',
    'new_config',
    'operator_backend',
}
TRAINING = """
train_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=False,
    dataset=dict(
        _delete_=True, type='IRDataset', ann_file='val.json', data_prefix=dict(img='images/'),
        pipeline=[
            dict(type='LoadIRImageFromFile', channels=1, raw=True),
            dict(type='ToneMapping', method='percentile'),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
            dict(type='PackDetInputs')]))
val_dataloader = test_dataloader
val_evaluator = test_evaluator
log_level = 'ERROR'
"""


def exported() -> Iterator[tuple[str, object]]:
    """Every class and function that some package exports, once."""
    seen = set()
    for name in PACKAGES:
        package = importlib.import_module(name)
        for entry in getattr(package, '__all__', ()):
            value = getattr(package, entry)
            if (inspect.isclass(value) or inspect.isfunction(value)) and id(value) not in seen:
                seen.add(id(value))
                yield entry, value


EXPORTED = dict(exported())


class _WithoutLog(doctest.OutputChecker):
    """Passes over the line that mmengine prints for every checkpoint."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        kept = [line for line in got.splitlines(keepends=True) if not line.startswith('Loads checkpoint by ')]
        return super().check_output(want, ''.join(kept), optionflags)


@pytest.mark.parametrize('name', PACKAGES)
def test_every_package_says_what_it_is_and_keeps_its_promises(name: str) -> None:
    package = importlib.import_module(name)
    assert package.__doc__ and len(package.__doc__) > 5
    for entry in getattr(package, '__all__', ()):
        assert getattr(package, entry) is not None


def test_the_names_that_the_documentation_teaches() -> None:
    from mmdet_ir.apis import IRInferencer, infer, test, train
    from mmdet_ir.deploy import ExportedModel, export_model, verify

    for value in (IRInferencer, infer, test, train, ExportedModel, export_model, verify):
        assert callable(value) and value.__module__.startswith(('mmdet_ir.apis', 'mmdet_ir.deploy'))


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What examples read: ``config.py``, ``weights.pth``, ``val.json`` and three images of 14 bits in ``images/``."""
    root = tmp_path_factory.mktemp('examples')
    write_problem(root)
    config = root / 'config.py'
    config.write_text(config.read_text() + TRAINING)
    return root


@pytest.mark.parametrize('name', sorted(set(EXPORTED) - WITHOUT_EXAMPLE))
def test_example(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = inspect.getdoc(EXPORTED[name]) or ''
    assert 'Example:\n' in text and '>>>' in text, f'{name} has no Example: with >>>'
    monkeypatch.chdir(folder)
    monkeypatch.setenv('TQDM_DISABLE', '1')
    example = doctest.DocTestParser().get_doctest(text, {}, name, None, None)
    report = []
    runner = doctest.DocTestRunner(_WithoutLog(), optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert runner.run(example, out=report.append).failed == 0, ''.join(report)
    assert runner.tries > 0 and os.getcwd() == str(folder)


def test_what_needs_no_example_is_exported() -> None:
    assert set(EXPORTED) >= WITHOUT_EXAMPLE
