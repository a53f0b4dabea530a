"""The stand-alone example: it finds what ExportedModel finds, and needs nothing of ours."""

import json
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from mmdet_ir.apis.inference.inferencer import IRInferencer
from mmdet_ir.deploy.backends import ExportedModel
from mmdet_ir.deploy.export import export_model

import cv2
import numpy as np
import pytest
from PIL import Image
from tiny_problem import counts, write_problem, write_weights

TOOL = Path(__file__).parents[2] / 'tools' / 'deploy' / 'run_onnx.py'
# Everything but NumPy, OpenCV and ONNX Runtime is refused; what was found goes to a file.
ALONE = """
import json, runpy, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in ('torch', 'torchvision', 'mmdet_ir', 'mmengine', 'mmcv', 'mmdet', 'pycocotools'):
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
tool = runpy.run_path(sys.argv[1])
session, meta = tool['load'](sys.argv[2])
found = tool['detect'](session, meta, tool['read'](sys.argv[3], meta))
rows = [[name, score, box.tolist(), *(axis.tolist() for axis in mask.nonzero())] for name, score, box, mask in found]
json.dump(rows, open(sys.argv[4], 'w'))
"""


@pytest.mark.parametrize('masks', ['raw', 'pasted'])
def test_it_finds_the_same_without_this_package(tmp_path: Path, masks: str) -> None:
    pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    write_problem(tmp_path)
    write_weights(tmp_path / 'config.py', tmp_path / 'weights.pth')
    inferencer = IRInferencer(tmp_path / 'config.py', tmp_path / 'weights.pth', 'cpu', show_progress=False)
    export_model(inferencer, tmp_path / 'model.onnx', 'onnx', masks=masks)
    cv2.imwrite(str(tmp_path / 'image.png'), counts(1))
    files = [str(tmp_path / name) for name in ('model.onnx', 'image.png', 'found.json')]
    subprocess.run([sys.executable, '-I', '-c', ALONE, str(TOOL), *files], check=True)
    found = json.loads((tmp_path / 'found.json').read_text())

    expected = ExportedModel(tmp_path / 'model.onnx').predict([counts(1)])[0]
    order = np.argsort(-np.asarray(expected['scores']), kind='stable')
    assert len(found) == len(order) > 0
    for (name, score, box, rows, columns), i in zip(found, order, strict=True):
        assert name == inferencer.classes[int(expected['labels'][i])] and score == pytest.approx(
            float(expected['scores'][i])
        )
        np.testing.assert_allclose(box, np.asarray(expected['boxes'][i]), atol=1e-4)
        mask = np.zeros(counts(1).shape, dtype=bool)
        mask[rows, columns] = True
        assert np.count_nonzero(mask != np.asarray(expected['masks'][i])) <= 1  # (a pixel at the threshold)


@pytest.mark.skipif(
    not Path('/usr/include/onnxruntime/onnxruntime_cxx_api.h').exists() or shutil.which('g++') is None,
    reason='needs the packages of Debian that run_onnx.cpp names',
)
@pytest.mark.parametrize('masks', ['raw', 'pasted'])
def test_the_example_in_cpp_says_the_same(tmp_path: Path, masks: str) -> None:
    write_problem(tmp_path)
    write_weights(tmp_path / 'config.py', tmp_path / 'weights.pth')
    inferencer = IRInferencer(tmp_path / 'config.py', tmp_path / 'weights.pth', 'cpu', show_progress=False)
    export_model(inferencer, tmp_path / 'model.onnx', 'onnx', masks=masks)
    cv2.imwrite(str(tmp_path / 'image.png'), counts(1))
    source = TOOL.with_suffix('.cpp').read_text().splitlines()
    build = ' '.join(line.removeprefix('//') for line in source if ' -o run_onnx ' in line or '-lonnx' in line)
    shutil.copy(TOOL.with_suffix('.cpp'), tmp_path)
    subprocess.run(shlex.split(build), cwd=tmp_path, check=True)
    files = ['model.onnx', 'image.png']
    said = subprocess.run(['./run_onnx', *files, '0.3'], cwd=tmp_path, check=True, stdout=subprocess.PIPE, text=True)
    expected = [sys.executable, str(TOOL), *files]
    assert said.stdout == subprocess.run(expected, cwd=tmp_path, check=True, stdout=subprocess.PIPE, text=True).stdout
    assert said.stdout


def test_what_it_cannot_do_is_one_line(tmp_path: Path) -> None:
    """Another size or number of images than the file's, colours, and places where nothing can be written."""
    pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    write_problem(tmp_path)
    write_weights(tmp_path / 'config.py', tmp_path / 'weights.pth')
    inferencer = IRInferencer(tmp_path / 'config.py', tmp_path / 'weights.pth', 'cpu', show_progress=False)
    height, width = counts(1).shape
    export_model(inferencer, tmp_path / 'fixed.onnx', 'onnx', batch=2, size=(width, height))
    export_model(inferencer, tmp_path / 'any.onnx', 'onnx')
    cv2.imwrite(str(tmp_path / 'image.png'), counts(1))
    colours = np.zeros((height, width, 3), np.uint8)
    colours[..., 2] = 9
    cv2.imwrite(str(tmp_path / 'colours.png'), colours)
    text = (tmp_path / 'config.py').read_text()
    window = "dict(type='ToneMapping', method='window', low=6900, high=8000)"
    (tmp_path / 'window.py').write_text(text.replace('_base_.tone_mapping', window))
    seen = IRInferencer(tmp_path / 'window.py', tmp_path / 'weights.pth', 'cpu', show_progress=False)
    export_model(seen, tmp_path / 'window.onnx', 'onnx')
    cv2.imwrite(str(tmp_path / 'grey.png'), counts(1).astype(np.uint8))
    degrees = counts(1).astype(np.float32) / 300
    cv2.imwrite(str(tmp_path / 'degrees.tiff'), degrees)
    with pytest.raises(ValueError, match=r'image array: expected counts, .* 6900 to 8000, got 8 bits'):
        ExportedModel(tmp_path / 'window.onnx').as_input(np.zeros((height, width), np.uint8))
    for words, message in (
        (('window.onnx', 'grey.png'), 'grey.png: expected counts, of which the model sees those from 6900 on, got 8'),
        (('any.onnx', 'degrees.tiff'), 'degrees.tiff: expected whole numbers, which this model takes, got float32'),
        (
            ('fixed.onnx', 'image.png'),
            f'expected what the model was exported for (2 images of {width}x{height} pixels)',
        ),
        (('any.onnx', 'colours.png'), 'colours.png: expected grey values, got colours'),
        (('none.onnx', 'image.png'), 'none.onnx: no such file'),
        (('any.onnx', 'image.png', '--out', 'nowhere/a.png'), '--out: expected a picture'),
        (('any.onnx', 'image.png', '--out', 'a.foo'), '--out: expected a picture'),
    ):
        done = subprocess.run([sys.executable, str(TOOL), *words], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 1 and message in done.stderr, done.stderr
        assert done.stderr.startswith('error: ') and done.stderr.count('\n') == 1


def test_files_are_read_upright_and_stacks_are_refused(tmp_path: Path) -> None:
    pytest.importorskip('onnxruntime')
    read = runpy.run_path(str(TOOL))['read']
    meta = {'input': {'batch': None, 'height': None, 'width': None, 'channels': 1, 'dtype': 'int32'}}
    levels = counts(1).astype(np.uint8)
    images = {'deep.png': counts(1), 'deep.tiff': counts(1), 'grey.png': levels}
    for name, image in images.items():
        cv2.imwrite(str(tmp_path / name), image)
    Image.fromarray(np.repeat(levels[..., None], 3, axis=2)).save(tmp_path / 'three.png')
    Image.fromarray(np.dstack([levels, levels // 2]), 'LA').save(tmp_path / 'alpha.png')
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side: a quarter turn to the right
    Image.fromarray(levels).save(tmp_path / 'turned.png', exif=exif)
    images |= {'three.png': levels, 'alpha.png': levels, 'turned.png': np.rot90(levels, -1)}
    for name, image in images.items():
        np.testing.assert_array_equal(read(str(tmp_path / name), meta)[0, 0], image)
    cv2.imwritemulti(str(tmp_path / 'stack.tiff'), [counts(1), counts(2)])
    with pytest.raises(SystemExit, match=r'stack\.tiff: expected one image, got a stack of 2'):
        read(str(tmp_path / 'stack.tiff'), meta)
    cv2.imwrite(str(tmp_path / 'colours.png'), np.dstack([levels, levels, levels // 2]))
    with pytest.raises(SystemExit, match='expected grey values, got colours'):
        read(str(tmp_path / 'colours.png'), meta)
