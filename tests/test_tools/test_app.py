"""tools/app.py: what the page does, with and without a browser, and what it refuses."""

import csv
import gc
import json
import re
import shutil
import socket
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

from mmdet_ir.apis.demo import server as app
from mmdet_ir.apis.demo.page import DemoPage
from mmdet_ir.apis.demo.server import build_page
from mmdet_ir.apis.demo.uploads import MAX_PIXELS, check_image_file
from mmdet_ir.apis.inference.inferencer import IRInferencer

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from pycocotools import mask as mask_utils

REPO = Path(__file__).parents[2]
BROWSER = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
HEIGHT, WIDTH = 64, 96
CLASSES = ('human', 'car', 'bicycle', 'uav')
CONFIG = """
_base_ = '{base}'
pipeline = [
    dict(type='LoadIRImageFromFile', {loader}), {mapping}
    dict(type='Resize', scale=(96, 64)), dict(type='PackDetInputs', meta_keys=_base_.meta)]
test_dataloader = dict(dataset=dict(pipeline=pipeline))
model = dict(test_cfg=dict(rpn=dict(nms_pre=30, max_per_img=20), rcnn=dict(score_thr=0.0, max_per_img=4)))
"""


def counts(seed: int = 0) -> np.ndarray:
    image = np.random.default_rng(seed).normal(7000, 40, (HEIGHT, WIDTH))
    image[20:32, 10:40] += 900
    return image.round().astype(np.uint16)


@pytest.fixture(scope='module')
def model(toy_config: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Config for counts and checkpoint of a small Mask R-CNN with random weights: it always finds four instances."""
    folder = tmp_path_factory.mktemp('model')
    mapping = "dict(type='ToneMapping', method='percentile', low=1),"
    config = CONFIG.format(base=toy_config, loader='channels=1, raw=True', mapping=mapping)
    (folder / 'config.py').write_text(config)
    (folder / 'config8.py').write_text(CONFIG.format(base=toy_config, loader='', mapping=''))
    init_default_scope('mmdet')
    torch.manual_seed(1)
    network = MODELS.build(Config.fromfile(folder / 'config.py').model)
    meta = {'dataset_meta': {'classes': CLASSES}}
    torch.save({'state_dict': network.state_dict(), 'meta': meta}, folder / 'weights.pth')
    return folder / 'config.py', folder / 'weights.pth'


@pytest.fixture(scope='module')
def page(model: tuple[Path, Path]) -> DemoPage:
    return DemoPage(IRInferencer(*model, 'cpu', show_progress=False), 'toy, weights.pth')


@pytest.fixture
def upload(tmp_path: Path) -> Path:
    path = tmp_path / 'upload.png'
    cv2.imwrite(str(path), counts())
    return path


def test_the_threshold_chooses_without_the_model(
    page: DemoPage, upload: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = sorted(page.inferencer.predict([page.inferencer.prepare(counts(), 'a')])[0].scores.tolist())
    found = page.detect(str(upload))
    monkeypatch.setattr(page.inferencer.model, 'test_step', None)  # calling it would fail
    between = (scores[1] + scores[2]) / 2
    for score, number in ((0, 4), (between, 2), (1, 0)):
        overlay, line, rows, json_file, csv_file = page.show(found, score)
        assert len(rows) == number
        assert line.startswith(f'{number} of 4 ')
        coco = json.loads(Path(json_file).read_text())
        assert len(coco['annotations']) == number
        assert str(upload.parent) not in Path(json_file).read_text()
        assert coco['images'][0]['file_name'] == 'upload.png'
        assert overlay.shape == (10 * HEIGHT, 10 * WIDTH, 3)
        with Path(csv_file).open(newline='') as file:
            assert len(list(csv.reader(file))) == number + 1
        if not number:
            continue
        for row, annotation in zip(rows, coco['annotations'], strict=True):
            inside = counts()[mask_utils.decode(annotation['segmentation']) > 0]
            assert row[0] == CLASSES[annotation['category_id'] - 1]
            assert row[2] == inside.size
            if inside.size:
                assert row[3:] == [pytest.approx(inside.mean(), abs=1e-3), inside.max(), 'counts']
    folder = Path(found.folder.name)
    assert folder.is_dir()
    del found
    gc.collect()
    assert not folder.exists()
    with pytest.raises(ValueError, match='run the model first'):
        page.show(None, 0.5)


def test_a_chosen_tone_mapping_takes_the_place_of_the_configs(page: DemoPage, upload: Path) -> None:
    labels = page.tone_mappings()
    assert labels[0] == ("the config's (percentile low=1)", 'config')
    image = counts().astype(np.float64)
    linear = ((image - image.min()) / (image.max() - image.min()) * 255).round()
    window = ((image - 6900) / 1000 * 255).round().clip(0, 255)
    for settings, expected in ((('linear',), linear), (('window', 6900, 7900), window)):
        picture = page.detect(str(upload), *settings).picture
        assert np.abs(picture[..., 0] - expected).max() <= 1
    own = page.detect(str(upload)).picture  # the inferencer itself is as before
    low, high = np.percentile(counts(), (1, 99.7))
    assert np.abs(own[..., 0] - ((image - low) / (high - low) * 255).round().clip(0, 255)).max() <= 1
    with pytest.raises(ValueError, match='expected a low and a high end'):
        page.detect(str(upload), 'window')
    with pytest.raises(ValueError, match='expected one of'):
        page.detect(str(upload), 'sepia')


def test_counts_reach_an_8_bit_config_through_a_tone_mapping_only(model: tuple[Path, Path], upload: Path) -> None:
    page = DemoPage(IRInferencer(model[0].with_name('config8.py'), model[1], 'cpu', show_progress=False))
    assert page.tone_mappings()[0][0] == "the config's (none, 8-bit pictures)"
    with pytest.raises(ValueError, match=r'^image upload\.png: .* 16-bit counts: choose a tone mapping$'):
        page.detect(str(upload))
    found = page.detect(str(upload), 'linear')
    assert found.picture.min() == 0
    assert found.picture.max() == 255
    assert page.show(found, 0)[2][0][5] == 'counts'  # measured before the mapping


def test_tiles(page: DemoPage, upload: Path) -> None:
    """A tile as large as the image is the image; of smaller ones, each shows the model a part."""
    whole, one = page.detect(str(upload)), page.detect(str(upload), tile='200x100')
    assert [(item.label, item.rle) for item in one.instances] == [(item.label, item.rle) for item in whole.instances]
    np.testing.assert_array_equal(one.picture, whole.picture)
    parts = page.detect(str(upload), tile='48x40')
    assert parts.picture.shape == (HEIGHT, WIDTH, 3) and all(i.rle['size'] == [HEIGHT, WIDTH] for i in parts.instances)
    assert len(parts.instances) > len(whole.instances)  # (four of each part, some of them joined)
    with pytest.raises(ValueError, match='expected WIDTHxHEIGHT'):
        page.detect(str(upload), tile='large')


def test_tiles_of_counts_without_tone_mapping(
    toy_config: Path, model: tuple[Path, Path], upload: Path, tmp_path: Path
) -> None:
    """The picture goes from the lowest to the highest count."""
    (tmp_path / 'raw.py').write_text(CONFIG.format(base=toy_config, loader='raw=True', mapping=''))
    raw = DemoPage(IRInferencer(tmp_path / 'raw.py', model[1], 'cpu', show_progress=False))
    low, high = int(counts().min()), int(counts().max())
    expected = (counts() - float(low)) / (high - low) * 255
    assert np.abs(raw.detect(str(upload), tile='200x100').picture - expected[..., None]).max() <= 0.51


def test_pages_of_stacks(page: DemoPage, tmp_path: Path) -> None:
    path = tmp_path / 'stack.npy'
    np.save(path, np.stack([counts(0), counts(1)]))
    np.testing.assert_array_equal(page.detect(str(path), page=1).frame.image, counts(1))
    with pytest.raises(ValueError, match='expected a page from 0 to 1, got 2'):
        page.detect(str(path), page=2)


def png_header(width: int, height: int) -> bytes:
    """The beginning of a PNG; whatever decodes it has to believe it."""
    chunk = b'IHDR' + struct.pack('>IIBBBBB', width, height, 16, 0, 0, 0, 0)
    data = b'IDAT' + zlib.compress(b'')
    pack = [struct.pack('>I', len(c) - 4) + c + struct.pack('>I', zlib.crc32(c)) for c in (chunk, data, b'IEND')]
    return b'\x89PNG\r\n\x1a\n' + b''.join(pack)


def tiff_pages(*sizes: tuple[int, int], loop: bool = False) -> bytes:
    """Directories only, one after the other; with ``loop`` the last names itself as the next."""
    content = struct.pack('<2sHI', b'II', 42, 8)
    for i, (width, height) in enumerate(sizes):
        start = len(content)
        last = i == len(sizes) - 1
        following = (start if loop else 0) if last else start + 2 + 24 + 4
        content += struct.pack('<HHHIIHHIII', 2, 256, 4, 1, width, 257, 4, 1, height, following)
    return content


def npy_header(*shape: int) -> bytes:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + '\n'
    return b'\x93NUMPY\x01\x00' + struct.pack('<H', len(text)) + text.encode()


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('bomb.png', png_header(3001, 3000), 'at most 9000000 pixels, got 3001x3000'),
        ('bomb.png', png_header(60000, 60000), 'at most 9000000 pixels, got 60000x60000'),
        (
            'bomb.bmp',
            b'BM' + struct.pack('<IIIIiiHHIIiiII', 54, 0, 54, 40, 9001, 1000, 1, 8, 0, 0, 0, 0, 0, 0),
            'got 9001x1000',
        ),
        ('bomb.tif', tiff_pages((9001, 1000)), 'got 9001x1000'),
        ('bomb.TIFF', tiff_pages((8, 8), (3001, 3000)), 'got 3001x3000'),
        ('loop.tif', tiff_pages((8, 8), loop=True), 'damaged'),
        ('bomb.npy', npy_header(3001, 3000), 'not a whole .npy file'),
        ('text.png', b'<svg onload="alert(1)"/>', 'none of the kinds PNG, JPEG'),
        ('other.tif', png_header(3001, 3000), 'got 3001x3000'),  # the content decides
        ('empty.jpg', b'', 'none of the kinds PNG, JPEG'),
        ('page.html', b'<script>', 'expected one of .png'),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_bombs_and_files_that_are_no_images_are_refused_before_decoding(
    page: DemoPage, tmp_path: Path, name: str, content: bytes, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(page.inferencer, 'read', None)  # calling it would fail
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        page.detect(str(tmp_path / name))
    assert str(tmp_path) not in str(error.value)


def test_large_arrays_and_pickles_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / 'large.npy', np.zeros((3001, 3000), np.uint8))
    np.save(tmp_path / 'stack.npy', np.zeros((2, 3000, 1501), np.uint8))  # each page is small enough
    np.save(tmp_path / 'pickle.npy', np.array([[{}]]), allow_pickle=True)
    with pytest.raises(ValueError, match='3000x3001'):
        check_image_file(tmp_path / 'large.npy')
    check_image_file(tmp_path / 'stack.npy')
    with pytest.raises(ValueError, match='not a whole .npy file of numbers'):
        check_image_file(tmp_path / 'pickle.npy')


@pytest.mark.parametrize('suffix', ['.png', '.jpg', '.bmp', '.tif', '.npy'])
def test_real_images_of_every_kind_pass(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f'a{suffix}'
    if suffix == '.npy':
        np.save(path, counts())
    else:
        image = counts() if suffix in ('.png', '.tif') else (counts() // 64).astype(np.uint8)
        cv2.imwrite(str(path), image)
    check_image_file(path, max_pixels=HEIGHT * WIDTH)
    with pytest.raises(ValueError, match=f'{WIDTH}x{HEIGHT}'):
        check_image_file(path, max_pixels=HEIGHT * WIDTH - 1)


def test_a_damaged_image_is_named_without_its_folder(page: DemoPage, tmp_path: Path) -> None:
    (tmp_path / 'cut.png').write_bytes(png_header(8, 8))
    with pytest.raises(ValueError, match=r'cannot read image cut\.png') as error:
        page.detect(str(tmp_path / 'cut.png'))
    assert str(tmp_path) not in str(error.value)


def test_opencv_has_the_same_limit() -> None:
    text = (REPO / 'tools' / 'app.py').read_text()
    assert int(re.search(r"'OPENCV_IO_MAX_IMAGE_PIXELS', '(\d+)'", text)[1]) == MAX_PIXELS


def test_without_gradio_the_error_says_what_to_install(page: DemoPage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'gradio', None)
    with pytest.raises(ImportError, match=r'pip install "gradio'):
        build_page(page)


def test_layout_is_private_and_runs_the_model_one_at_a_time(page: DemoPage) -> None:
    gradio = pytest.importorskip('gradio')
    blocks = build_page(page)
    assert blocks.analytics_enabled is False
    assert blocks.api_open is False
    events = {event.name: event for event in blocks.fns.values()}
    assert events['detect'].concurrency_limit == 1
    assert all(event.api_visibility == 'private' for event in events.values() if event.name != 'load_example')
    with pytest.raises(gradio.Error) as error:
        app._one_line(page.detect)('<b>\n.png', 'linear')
    assert '&lt;b&gt; .png' in error.value.message
    assert '\n' not in error.value.message


@pytest.fixture(scope='module')
def address(model: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page, served by the tool; nothing of it is left when the tool is told to end."""
    pytest.importorskip('gradio')
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    temporary = tmp_path_factory.mktemp('temporary')
    command = [sys.executable, REPO / 'tools' / 'app.py', *model, '--device', 'cpu', '--port', port]
    environment = {'PATH': '/usr/bin:/bin', 'TMPDIR': str(temporary), 'OMP_NUM_THREADS': '1', 'HOME': str(temporary)}
    process = subprocess.Popen(
        [str(part) for part in command], cwd=REPO, env=environment, text=True, stdout=subprocess.PIPE
    )
    line = next((line for line in process.stdout if 'is open' in line), '')
    assert line, f'exit code {process.wait()}'
    yield line.split()[0].rstrip('/')
    process.terminate()
    process.wait()
    assert not list(temporary.glob('mmdet_ir_app_*'))


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason='no Chromium')
def test_in_a_browser(address: str, upload: Path, tmp_path: Path) -> None:
    playwright = pytest.importorskip('playwright.sync_api')
    outside = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=['--no-sandbox'])
        tab = browser.new_page()
        tab.set_default_timeout(120_000)
        tab.on('request', lambda request: outside.append(request.url))
        tab.goto(address)
        line, score = tab.locator('#line'), tab.locator('#score input[type=number]')
        tab.locator('input[type=file]').first.set_input_files(upload)
        tab.get_by_text('upload', exact=False).first.wait_for()
        score.fill('0')
        score.press('Enter')
        tab.get_by_role('button', name='Find targets').click()
        line.get_by_text('4 of 4 detections').wait_for()
        tab.locator('#overlay img').wait_for()
        units = tab.locator('#table').get_by_text('counts', exact=True).filter(visible=True)
        units.first.wait_for()
        with tab.expect_download() as download:
            tab.locator('#json').click()
        assert len(json.loads(Path(download.value.path()).read_text())['annotations']) == 4
        score.fill('1')
        score.press('Enter')
        line.get_by_text('0 of 4 detections').wait_for()
        playwright.expect(units).to_have_count(0)
        tab.screenshot(path=tmp_path / 'page.png')
        browser.close()
    assert outside
    assert [url for url in outside if not url.startswith((address, 'data:', 'blob:'))] == []


@pytest.mark.slow
def test_uploads_are_limited_and_server_files_stay_there(address: str) -> None:
    httpx = pytest.importorskip('httpx')
    with httpx.Client(base_url=address, timeout=120, trust_env=False) as client:
        large = client.post('/gradio_api/upload', files={'files': ('a.npy', bytes(app.MAX_UPLOAD_MB * 1024**2 + 1))})
        assert large.status_code == 413
        assert client.get(f'/gradio_api/file={REPO / "setup.cfg"}').status_code in (403, 404)
        assert client.post('/gradio_api/run/detect', json={'data': []}).status_code in (401, 403, 404)
