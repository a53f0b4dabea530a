"""tools/infer.py: what goes in, what comes out, and what happens when something is wrong."""

import csv
import json
import runpy
import signal
import sys
from pathlib import Path

from mmdet_ir.apis.inference import run as inference_run
from mmdet_ir.apis.inference.inferencer import IRInferencer
from mmdet_ir.apis.inference.inputs import count_frames, find_sources
from mmdet_ir.apis.inference.run import infer, score_thresholds
from mmdet_ir.datasets.coco_files import read_coco
from mmdet_ir.visualization.overlay import FoundInstance, draw_instances

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_utils

REPO = Path(__file__).parents[2]
HEIGHT, WIDTH = 64, 96
CLASSES = ('human', 'car', 'bicycle', 'uav')


def counts(seed: int) -> np.ndarray:
    image = np.random.default_rng(seed).normal(7000, 40, (HEIGHT, WIDTH))
    image[20:32, 10 + 8 * seed : 30 + 8 * seed] += 900
    return image.round().astype(np.uint16)


def results(out: Path) -> tuple[dict, list[dict], dict]:
    """COCO file, rows of the table, and report of a run that left nothing unfinished."""
    assert not list(out.rglob('.*'))
    with (out / 'detections.csv').open(newline='') as file:
        rows = list(csv.DictReader(file))
    coco = read_coco(out / 'detections.json')
    assert len(rows) == len(coco['annotations'])
    return coco, rows, json.loads((out / 'report.json').read_text())


def read_video(path: Path) -> list[np.ndarray]:
    capture, frames = cv2.VideoCapture(str(path)), []
    while (item := capture.read())[0]:
        frames.append(item[1])
    return frames


def write_video(path: Path, frames: list[np.ndarray], fps: float = 12.5) -> None:
    """Without loss; 16-bit grey or 8-bit BGR."""
    deep = frames[0].dtype == np.uint16
    options = [cv2.VIDEOWRITER_PROP_DEPTH, cv2.CV_16U, cv2.VIDEOWRITER_PROP_IS_COLOR, 0] if deep else []
    code = cv2.VideoWriter_fourcc(*'FFV1')
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, fps, frames[0].shape[1::-1], options)
    for frame in frames:
        writer.write(frame)
    writer.release()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A picture, a stack of two, a picture in a sub-folder, a TIFF of two pages, and two broken files."""
    folder = tmp_path / 'in'
    (folder / 'sub').mkdir(parents=True)
    cv2.imwrite(str(folder / 'a.png'), counts(0))
    cv2.imwrite(str(folder / 'sub' / 'a.png'), counts(1))
    np.save(folder / 'stack.npy', np.stack([counts(2), counts(3)]).astype(np.float32))
    cv2.imwritemulti(str(folder / 'two.tiff'), [counts(4), counts(5)])
    (folder / 'broken.png').write_bytes(b'no picture')
    (folder / 'broken.tiff').write_bytes(b'no picture')
    (folder / '.hidden.png').write_bytes(b'')
    (folder / 'notes.txt').write_text('')
    return folder


def test_a_folder(model: tuple, images: Path, tmp_path: Path) -> None:
    out = images / 'out'  # (inside of what is read)
    infer(*model, [images], out, scores=['0'], batch_size=3, device='cpu')
    coco, rows, report = results(out)
    entries = {(image['file_name'], image.get('page')): image for image in coco['images']}
    stacks = [('stack.npy', 0), ('stack.npy', 1), ('two.tiff', 0), ('two.tiff', 1)]
    assert list(entries) == [('a.png', None), *stacks[:2], ('sub/a.png', None), *stacks[2:]]
    assert [Path(entry['path']).name for entry in report['skipped']] == ['broken.png', 'broken.tiff']
    assert report['complete'] and report['frames'] == 6 and sum(report['instances'].values()) == 24
    overlays = sorted(str(path.relative_to(out / 'overlays')) for path in (out / 'overlays').rglob('*.png'))
    assert overlays == ['a.png', 'stack_00000.png', 'stack_00001.png', 'sub/a.png', 'two_00000.png', 'two_00001.png']
    assert cv2.imread(str(out / 'overlays' / 'a.png')).shape == (10 * HEIGHT, 10 * WIDTH, 3)
    files = {'a.png': counts(0), 'sub/a.png': counts(1)}
    pages = dict(zip(stacks, (counts(i) for i in range(2, 6)), strict=True))
    names = {image['id']: (image['file_name'], image.get('page')) for image in coco['images']}
    for row, entry in zip(rows, coco['annotations'], strict=True):
        key = names[entry['image_id']]
        raw = pages[key] if key in pages else files[key[0]]
        mask = mask_utils.decode(entry['segmentation']).astype(bool)
        assert (row['file_name'], row['frame']) == (key[0], '' if key[1] is None else str(key[1]))
        assert row['class'] == CLASSES[entry['category_id'] - 1]
        assert int(row['area_px']) == entry['area'] == mask.sum()
        assert row['unit'] == ('' if not mask.any() else 'stored' if key[0] == 'stack.npy' else 'counts')
        if mask.any():
            assert float(row['mean']) == pytest.approx(raw[mask].mean(), abs=1e-3)
            assert float(row['max']) == raw[mask].max()
    # a second run must not read what the first one drew
    assert len(find_sources([images], out)) == 6
    with pytest.raises(ValueError, match='is not empty; choose another'):
        infer(*model, [images], out, device='cpu')


def test_tracks_of_an_earlier_run_stay_where_nothing_could_be_read(model: tuple, tmp_path: Path) -> None:
    """That nothing was read is something else than that nothing was found."""
    pytest.importorskip('lap')
    for name in ('bad', 'good'):
        (tmp_path / name).mkdir()
    (tmp_path / 'bad' / '1.png').write_bytes(b'no picture')
    cv2.imwrite(str(tmp_path / 'good' / '1.png'), np.full((HEIGHT, WIDTH), 7000, np.uint16))
    files = [tmp_path / 'out' / 'tracks' / f'{name}_mot.txt' for name in ('bad', 'good')]
    infer(*model, [tmp_path / 'good'], tmp_path / 'out', scores=['1'], fps=30, track='byte', device='cpu')
    for file in files:
        file.write_text('of an earlier run')
    both = [tmp_path / 'bad', tmp_path / 'good']
    infer(*model, both, tmp_path / 'out', scores=['1'], fps=30, track='byte', overwrite=True, device='cpu')
    assert files[0].read_text() == 'of an earlier run' and 'earlier' not in files[1].read_text()


def test_frames_follow_the_numbers_in_their_names(tmp_path: Path) -> None:
    names = ['frame_1.png', 'frame_2.png', 'frame_9.png', 'frame_10.png', 'frame_20.png']
    (tmp_path / 'seq').mkdir()
    for name in names:
        cv2.imwrite(str(tmp_path / 'seq' / name), np.zeros((4, 5), np.uint8))
    for given in (tmp_path / 'seq', f'{tmp_path}/seq/*.png'):
        (source,) = find_sources([given], tmp_path / 'out', fps=30)
        assert [file.name for file in source.files] == names


@pytest.mark.parametrize('deep', [False, True])
def test_a_video(model: tuple, tmp_path: Path, deep: bool) -> None:
    frames = [counts(i) for i in range(3)]
    if not deep:
        frames = [np.repeat(((f - 6800) // 8).astype(np.uint8)[..., None], 3, axis=2) for f in frames]
    write_video(tmp_path / 'clip.mkv', frames)
    infer(*model, [tmp_path / 'clip.mkv'], tmp_path / 'out', scores=['0'], scale=1, device='cpu')
    coco, rows, report = results(tmp_path / 'out')
    assert [(image['file_name'], image['frame']) for image in coco['images']] == [
        ('clip.mkv/000000', 0),
        ('clip.mkv/000001', 1),
        ('clip.mkv/000002', 2),
    ]
    assert report['skipped'] == [] and report['outputs'][0] == 'videos/clip.mp4'
    assert {row['unit'] for row in rows} <= {'counts' if deep else 'grey', ''}
    assert not (tmp_path / 'out' / 'overlays').exists()
    capture = cv2.VideoCapture(str(tmp_path / 'out' / 'videos' / 'clip.mp4'))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(12.5)
    drawn = read_video(tmp_path / 'out' / 'videos' / 'clip.mp4')
    assert [picture.shape for picture in drawn] == [(HEIGHT, WIDTH, 3)] * 3
    found = IRInferencer(*model, 'cpu', show_progress=False)(frames if deep else read_video(tmp_path / 'clip.mkv'))[
        'predictions'
    ]
    expected = [score for prediction in found for score in prediction['scores']]
    assert [entry['score'] for entry in coco['annotations']] == pytest.approx(expected, abs=1e-5)


def test_frames_become_a_video(model: tuple, tmp_path: Path) -> None:
    """In the order of the numbers; broken ones and those of another size are left out."""
    shapes = {1: (63, 95), 2: (63, 95), 10: (63, 95), 11: (40, 40)}
    for number, (height, width) in shapes.items():
        cv2.imwrite(str(tmp_path / f'f_{number}.png'), counts(0)[:height, :width])
    (tmp_path / 'f_3.png').write_bytes(b'')
    pattern = str(tmp_path / 'f_%d.png')
    assert [source.name for source in find_sources([pattern], tmp_path / 'out')] == [
        'f_1',
        'f_2',
        'f_3',
        'f_10',
        'f_11',
    ]
    report = infer(*model, [pattern], tmp_path / 'out', fps=8, scores=['0'], batch_size=2, scale=1, device='cpu')
    assert [(entry['frame'], entry['reason'][:27]) for entry in report['skipped']] == [
        (2, 'cannot read image ' + str(tmp_path)[:9]),
        (4, 'expected height and width ('),
    ]
    coco, rows, _ = results(tmp_path / 'out')
    assert [image['frame'] for image in coco['images']] == [0, 1, 3]
    assert coco['images'][2]['file_name'] == 'f/f_10.png'
    assert [frame.shape for frame in read_video(tmp_path / 'out' / 'videos' / 'f.mp4')] == [(64, 96, 3)] * 3


def test_a_video_that_was_cut_off(model: tuple, tmp_path: Path) -> None:
    write_video(tmp_path / 'clip.mkv', [counts(i) for i in range(3)])
    content = (tmp_path / 'clip.mkv').read_bytes()
    (tmp_path / 'cut.mkv').write_bytes(content[:300])
    cv2.imwrite(str(tmp_path / 'a.png'), counts(0))
    report = infer(*model, [tmp_path / 'cut.mkv', tmp_path / 'a.png'], tmp_path / 'out', device='cpu')
    assert [Path(entry['path']).name for entry in report['skipped']] == ['cut.mkv']
    assert report['complete'] and report['frames'] == 1
    assert not (tmp_path / 'out' / 'videos').exists()


def test_a_page_and_a_file_of_one_name_have_two_overlays(model: tuple, tmp_path: Path) -> None:
    np.save(tmp_path / 's.npy', np.stack([counts(1), counts(2)]))
    cv2.imwrite(str(tmp_path / 's_00000.png'), counts(3))
    infer(*model, [str(tmp_path / name) for name in ('s.npy', 's_00000.png')], tmp_path / 'out', device='cpu')
    names = ['s_00000.png', 's_00000_2.png', 's_00001.png']
    assert sorted(path.name for path in (tmp_path / 'out' / 'overlays').iterdir()) == names


def test_scores() -> None:
    assert score_thresholds(['0.3', 'human=0.5', 'uav=0'], CLASSES).tolist() == [0.5, 0.3, 0.3, 0]
    assert score_thresholds(['car=1'], CLASSES).tolist() == [0.3, 1, 0.3, 0.3]
    wrong = {
        'ship=0.5': "expected one of the classes human, car, bicycle, uav, got 'ship'",
        'car=high': "expected a number in 0..1 or CLASS=NUMBER, got 'car=high'",
        '30': "expected a number in 0..1 or CLASS=NUMBER, got '30'",
        'nan': 'expected a number in 0..1',
        'human=0.2': "expected one value for human, got a second one: 'human=0.2'",
    }
    for text, message in wrong.items():
        with pytest.raises(ValueError, match=f'score: {message}'):
            score_thresholds(['0.3', 'human=0.5', text], CLASSES)


def test_scores_choose_what_is_written(model: tuple, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / 'a.png'), counts(0))
    found = IRInferencer(*model, 'cpu', show_progress=False)(str(tmp_path / 'a.png'))['predictions'][0]
    middle = sorted(found['scores'])[2]
    infer(*model, [tmp_path / 'a.png'], tmp_path / 'out', scores=[repr(middle)], pictures=False, device='cpu')
    coco, _, report = results(tmp_path / 'out')
    assert [entry['score'] for entry in coco['annotations']] == pytest.approx(sorted(found['scores'])[:1:-1], abs=1e-5)
    assert report['outputs'] == ['detections.json', 'detections.csv']


@pytest.mark.parametrize('video', [False, True])
def test_an_interruption_leaves_whole_files(
    model: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, video: bool
) -> None:
    folder = tmp_path / 'in'
    folder.mkdir()
    for i in range(5):
        cv2.imwrite(str(folder / f'{i}.png'), counts(i))
    stock, calls = IRInferencer.predict, []

    def predict(self: IRInferencer, batch: list) -> list:
        calls.append(1)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return stock(self, batch)

    monkeypatch.setattr(IRInferencer, 'predict', predict)
    before = signal.getsignal(signal.SIGINT)
    infer(*model, [folder], tmp_path / 'out', scores=['0'], fps=5 if video else None, scale=1, device='cpu')
    assert signal.getsignal(signal.SIGINT) is before
    coco, _, report = results(tmp_path / 'out')
    assert not report['complete'] and report['frames'] == len(coco['images']) == 2
    if video:
        assert len(read_video(tmp_path / 'out' / 'videos' / 'in.mp4')) == 2


def test_a_crash_leaves_whole_files(model: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(3):
        cv2.imwrite(str(tmp_path / f'{i}.png'), counts(i))
    stock, calls = inference_run.draw_instances, []

    def draw(*args: object, **options: object) -> np.ndarray:
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError('out of memory')
        return stock(*args, **options)

    monkeypatch.setattr(inference_run, 'draw_instances', draw)
    with pytest.raises(RuntimeError, match='out of memory'):
        infer(*model, [tmp_path / '*.png'], tmp_path / 'out', scores=['0'], scale=1, device='cpu')
    coco, _, report = results(tmp_path / 'out')
    assert [image['file_name'] for image in coco['images']] == ['0.png', '1.png'] and not report['complete']


def test_nothing_usable_is_an_error(model: tuple, tmp_path: Path) -> None:
    (tmp_path / 'a.png').write_bytes(b'')
    with pytest.raises(ValueError, match='none of the inputs could be used; the first: cannot read image .*empty'):
        infer(*model, [tmp_path / 'a.png'], tmp_path / 'out', device='cpu')
    assert len(json.loads((tmp_path / 'out' / 'report.json').read_text())['skipped']) == 1


def test_an_input_is_never_replaced(model: tuple, tmp_path: Path) -> None:
    path = tmp_path / 'out' / 'overlays' / 'a.png'
    path.parent.mkdir(parents=True)
    cv2.imwrite(str(path), counts(0))
    content = path.read_bytes()
    with pytest.raises(ValueError, match='holds the input .*a.png, which could be replaced'):
        infer(*model, [path], tmp_path / 'out', overwrite=True, device='cpu')
    assert path.read_bytes() == content


def test_inputs(tmp_path: Path) -> None:
    for name in ('x/1.png', 'x/2.png', 'y/1.jpg', 'y/1.png', 'y/c.mp4', 'y/z/odd[1].png'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b'')
    out, x, y = tmp_path / 'out', tmp_path / 'x', tmp_path / 'y'

    def names(*inputs: object, fps: float | None = None) -> list[str]:
        return [source.name for source in find_sources([str(given) for given in inputs], out, fps)]

    assert names(x, y) == ['1', '2', '1_2', '1_3', 'c', 'z/odd[1]']
    assert names(x, x / '1.png') == ['1', '2']  # once
    assert names(y / 'z' / 'odd[1].png') == ['odd[1]']
    assert names(f'{tmp_path}/*/1.png') == ['x/1', 'y/1']
    assert names(f'{tmp_path}/**/*.png') == ['x/1', 'x/2', 'y/1', 'y/z/odd[1]']
    assert names(y, fps=5) == ['c', 'y', 'y/z']
    assert [count_frames(source) for source in find_sources([str(y)], out, 5)] == [1, 2, 1]
    for given, message in {
        'none.png': 'input not found',
        'n_%03d.png': 'no file matches',
        '*.bmp': 'no image',
    }.items():
        with pytest.raises(FileNotFoundError, match=message):
            names(tmp_path / given)
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match='expected a folder with images .* found none'):
        names(tmp_path / 'empty')
    with pytest.raises(ValueError, match='fps: expected a number above 0'):
        names(x, fps=0)


def test_nothing_is_painted_over_a_small_target() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (80, 120, 3)).astype(np.uint8)
    instance = FoundInstance(3, 0.875, (50, 30, 53, 33), {}, 9, (50, 30), np.ones((3, 3), bool))
    drawn = draw_instances(picture, [instance], CLASSES, [(255, 0, 0)] * 4, scale=1)
    np.testing.assert_array_equal(drawn[30:33, 50:53], picture[30:33, 50:53])
    assert (drawn[29:34, [49, 53]] == (255, 0, 0)).all(axis=-1).all()  # contour
    assert (drawn[27, 47:57] == (255, 0, 0)).all()  # box, 3 pixels off
    changed = (drawn != picture).any(axis=-1)
    assert changed[:, 59:].any() and not changed[:, :47].any()  # label to the right


def test_the_command_line(
    model: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    cv2.imwrite(str(tmp_path / 'a.png'), counts(0))
    command = [
        'infer.py',
        *map(str, model),
        str(tmp_path / 'a.png'),
        '--out',
        str(tmp_path / 'out'),
        '--score',
        '0',
        'car=1',
        '--device',
        'cpu',
    ]
    monkeypatch.setattr(sys, 'argv', command)
    runpy.run_path(str(REPO / 'tools' / 'infer.py'), run_name='__main__')
    printed = capsys.readouterr()
    assert 'out: 1 frames in' in printed.out and '100%' in printed.err and '1/1' in printed.err
    assert (tmp_path / 'out' / 'overlays' / 'a.png').is_file()
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(REPO / 'tools' / 'infer.py'), run_name='__main__')
    assert caught.value.code == 2 and 'error: output folder' in capsys.readouterr().err


def test_an_image_of_one_tile_gives_what_it_gives_whole(model: tuple, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / 'a.png'), counts(0))
    found = []
    for name, tile in (('whole', None), ('tile', (640, 512))):
        infer(*model, [tmp_path / 'a.png'], tmp_path / name, scores=['0'], device='cpu', tile=tile)
        found.append(results(tmp_path / name)[0]['annotations'])
        found.append((tmp_path / name / 'overlays' / 'a.png').read_bytes())
    assert found[0] == found[2] and len(found[0]) == 4 and found[1] == found[3]


def test_tiles_are_cut_after_the_tone_mapping_of_the_whole_image(
    model: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The left half is cold and the right half is warm: a window of its own would make both alike."""
    image = np.concatenate([counts(0), counts(1) + 3000], axis=1)
    low, high = np.percentile(image, (0.5, 99.7))
    expected = np.clip((image.astype(float) - low) / (high - low) * 255, 0, 255).round()
    seen, predict = [], IRInferencer.predict
    monkeypatch.setattr(
        IRInferencer, 'predict', lambda self, batch: seen.extend(batch) or predict(self, batch), raising=True
    )
    inferencer = IRInferencer(*model, device='cpu', show_progress=False)
    inferencer.predict_tiled(image, 'image', (WIDTH, HEIGHT), overlap=0, batch_size=2)
    assert len(seen) == 2
    for number, data in enumerate(seen):
        part = expected[:, number * WIDTH : (number + 1) * WIDTH]
        np.testing.assert_allclose(data['inputs'][0].numpy(), part, atol=1)


def test_wrong_tiles_are_told_before_the_model_is_built(model: tuple, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / 'a.png'), counts(0))
    with pytest.raises(ValueError, match='--overlap'):
        infer('no config', 'no checkpoint', [tmp_path / 'a.png'], tmp_path / 'out', tile=(64, 64), overlap=1.0)


def test_a_lost_input_ends_with_1_and_a_bad_file_in_a_folder_does_not(
    model: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    folder = tmp_path / 'in'
    folder.mkdir()
    cv2.imwrite(str(folder / 'a.png'), counts(0))
    (folder / 'bad.png').write_bytes(b'no picture')
    (tmp_path / 'text.mp4').write_text('not a video')
    for inputs, code in (([folder], 0), ([folder / 'a.png', tmp_path / 'text.mp4'], 1)):
        command = ['infer.py', *model, *inputs, '--out', tmp_path / 'out', '--overwrite', '--device', 'cpu']
        monkeypatch.setattr(sys, 'argv', [str(word) for word in command])
        if code:
            with pytest.raises(SystemExit) as caught:
                runpy.run_path(str(REPO / 'tools' / 'infer.py'), run_name='__main__')
            assert caught.value.code == 1
            assert f'nothing could be used: {tmp_path / "text.mp4"}' in capsys.readouterr().out
        else:
            runpy.run_path(str(REPO / 'tools' / 'infer.py'), run_name='__main__')
        _, _, report = results(tmp_path / 'out')
        assert report['frames'] == 1 and len(report['skipped']) == 1
        assert report['lost'] == ([str(tmp_path / 'text.mp4')] if code else [])
