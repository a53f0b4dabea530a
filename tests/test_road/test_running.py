"""Images, videos and models as people have them: each is used, or skipped with a reason, and no other is lost."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from road import HEIGHT, WIDTH, Trained, coco, grey, put, scene, write_set


def report(folder: Path) -> dict:
    return json.loads((folder / 'report.json').read_text())


def test_strange_sizes_do_not_end_a_folder(tool: Callable, trained: Trained, tmp_path: Path) -> None:
    sizes = {'a': (64, 96), 'b': (2, 2000), 'c': (1, 1), 'd': (2000, 4), 'e': (16, 16), 'f': (1, 640), 'g': (64, 96)}
    rng = np.random.default_rng(0)
    for name, size in sizes.items():
        put(tmp_path / 'in' / f'{name}.png', rng.integers(0, 255, size, np.uint8))
    done = tool('infer.py', trained.config, trained.checkpoint, tmp_path / 'in', '--out', tmp_path / 'out').said('')
    told = report(tmp_path / 'out')
    assert told['frames'] + len(told['skipped']) == len(sizes) and told['frames'] >= 2
    assert all(entry['reason'] for entry in told['skipped'])
    done.went_well('skipped') if told['skipped'] else done.went_well()  # (of the folder, something was used)


def test_grey_videos_as_opencv_writes_them(tool: Callable, trained: Trained, tmp_path: Path) -> None:
    writer = cv2.VideoWriter(str(tmp_path / 'grey.mp4'), cv2.VideoWriter_fourcc(*'mp4v'), 10, (320, 256))
    for offset in range(3):
        ramp = np.linspace(20 + offset, 220, 320 * 256).reshape(256, 320, 1).astype(np.uint8)
        writer.write(np.repeat(ramp, 3, 2))
    writer.release()
    out = tmp_path / 'out'
    tool('infer.py', trained.config, trained.checkpoint, tmp_path / 'grey.mp4', '--out', out).went_well()
    assert report(out)['frames'] == 3


def test_frames_after_a_damaged_one_are_used(tool: Callable, trained: Trained, tmp_path: Path) -> None:
    path = tmp_path / 'clip.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 10, (WIDTH, HEIGHT))
    for number in range(8):
        writer.write(cv2.cvtColor(grey(number), cv2.COLOR_GRAY2BGR))
    writer.release()
    data = bytearray(path.read_bytes())
    starts = [i for i in range(len(data) - 10) if data[i : i + 4] == b'00dc' and data[i + 8 : i + 10] == b'\xff\xd8']
    length = int.from_bytes(data[starts[3] + 4 : starts[3] + 8], 'little')
    data[starts[3] + 8 : starts[3] + 8 + length] = bytes(length)
    path.write_bytes(data)
    tool('infer.py', trained.config, trained.checkpoint, path, '--out', tmp_path / 'out').said('')
    told = report(tmp_path / 'out')
    assert told['frames'] == 7 or (told['skipped'] and 'frame' in json.dumps(told['skipped']))


def test_linked_folders_and_thumbnails(tool: Callable, trained: Trained, tmp_path: Path) -> None:
    for name in (
        'store/a.png',
        'in/b.png',
        'in/.thumbnails/c.png',
        'in/@eaDir/d.png',
        'in/__MACOSX/e.png',
        'in/.ipynb_checkpoints/f.png',
    ):
        put(tmp_path / name, grey(len(name)))
    os.symlink(tmp_path / 'store', tmp_path / 'in' / 'linked')
    os.symlink(tmp_path / 'in', tmp_path / 'in' / 'round')  # and no walk without end
    out = tmp_path / 'out'
    tool('infer.py', trained.config, trained.checkpoint, tmp_path / 'in', '--out', out).said('')
    found = json.loads((out / 'detections.json').read_text())
    names = {Path(image['file_name']).name for image in found['images']}
    assert names == {'a.png', 'b.png'}, names


def test_pictures_of_the_same_name(tool: Callable, trained: Trained, tmp_path: Path) -> None:
    content = coco(4)
    classes = [
        {'id': i, 'name': n} for i, n in enumerate(('person', 'truck', 'small boat', 'dog', 'hot engine', 'drone'), 1)
    ]
    content['categories'] = classes
    for number, image in enumerate(content['images']):
        image['file_name'] = f'clip{number // 2}/frame_{number % 2}.png'
    root = write_set(tmp_path / 'set', content)
    options = (f'test_dataloader.dataset.data_root={root}/', f'test_evaluator.ann_file={root}/annotations/val.json')
    arguments = ('--work-dir', tmp_path / 't', '--show-dir', 'drawn', '--cfg-options', *options)
    tool('test.py', trained.config, trained.checkpoint, *arguments).went_well()
    assert len([path for path in (tmp_path / 't').glob('*/drawn/**/*') if path.is_file()]) == 4


def test_a_picture_under_another_suffix_is_read_or_told(tool: Callable, trained: Trained, tmp_path: Path) -> None:
    put(tmp_path / 'in' / 'a.png', grey(0))
    (tmp_path / 'in' / 'a.png').rename(tmp_path / 'in' / 'really_png.jpg')
    put(tmp_path / 'in' / 'b.jpg', grey(1))
    good = (tmp_path / 'in' / 'b.jpg').read_bytes()
    (tmp_path / 'in' / 'b.jpg').write_bytes(good + b'\0' * 300 + b'camera notes')  # as some cameras append
    done = tool('infer.py', trained.config, trained.checkpoint, tmp_path / 'in', '--out', tmp_path / 'out')
    assert 'cut off' not in done.text
    assert report(tmp_path / 'out')['frames'] == 2, done.text


@pytest.mark.parametrize('orientation', range(2, 9))
def test_orientations_are_told(tool: Callable, tmp_path: Path, orientation: int) -> None:
    content = coco(2, suffix='.jpg')
    root = write_set(tmp_path / 'set', content)
    for number in range(2):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(grey(number)).save(root / 'images' / f'a{number}.jpg', exif=exif.tobytes(), quality=97)
    tool('data/validate.py', root / 'annotations' / 'train.json').said('orientation|EXIF')


def test_byte_swapped_counts_are_told(tool: Callable, tmp_path: Path) -> None:
    right = write_set(tmp_path / 'right', coco(3), lambda i: scene(i, 14000, 16000))
    swapped = write_set(tmp_path / 'swapped', coco(3), lambda i: scene(i, 14000, 16000).byteswap())
    tool('data/validate.py', swapped / 'annotations' / 'train.json').said('byte')
    assert 'swapped' not in tool('data/validate.py', right / 'annotations' / 'train.json').text.replace(
        str(tmp_path), ''
    )


def test_colours_in_numpy_files_are_no_stack(tool: Callable, trained: Trained, tmp_path: Path) -> None:
    np.save(tmp_path / 'colours.npy', np.dstack([grey(1), grey(2), grey(3)]))
    done = tool('infer.py', trained.config, trained.checkpoint, tmp_path / 'colours.npy', '--out', tmp_path / 'out')
    if done.code:
        done.told('colours.npy')
    else:
        assert report(tmp_path / 'out')['frames'] == 1


def test_an_export_that_cannot_be_loaded_is_not_written(
    tool: Callable, write_config: Callable, tmp_path: Path
) -> None:
    deformable = """
model['backbone'] = dict(depth=50, base_channels=16, stem_channels=16, stage_with_dcn=(False, True, True, True),
    dcn=dict(type='DCNv2', deform_groups=1, fallback_on_stride=False))
model['neck'] = dict(in_channels=[64, 128, 256, 512])
"""
    config = write_config(more=deformable)
    tool('train.py', config, '--work-dir', tmp_path / 'run').went_well()
    out = tmp_path / 'model.onnx'
    checkpoint = tmp_path / 'run' / 'epoch_1.pth'
    done = tool('deploy/export.py', config, checkpoint, '--format', 'onnx', '--out', out)
    if done.code:
        done.told('DCN|deform')
        assert not out.exists()
    else:
        import onnxruntime

        onnxruntime.InferenceSession(str(out), providers=['CPUExecutionProvider'])


def test_one_damaged_image_does_not_end_a_tool(tool: Callable, trained: Trained, tmp_path: Path) -> None:
    """The others are used, the damaged one is told by its name, and 1 says that an input was lost."""
    classes = ('person', 'truck', 'small boat', 'dog', 'hot engine', 'drone')
    root = write_set(tmp_path / 'data', coco(4, classes))
    damaged = root / 'images' / 'a1.png'
    damaged.write_bytes(damaged.read_bytes()[:300])
    config = put(tmp_path / 'six.py', trained.config.read_text().replace(str(trained.images.parent), str(root)))
    truth, out = root / 'annotations' / 'val.json', tmp_path / 'out'
    boxes = coco(4, classes)
    for entry in boxes['annotations']:
        del entry['segmentation']
    saved = put(tmp_path / 'found.segm.json', '[]')
    copies = put(tmp_path / 'in' / 'a0.png', scene(0)).parent
    put(copies / 'a1.png', damaged.read_bytes())
    models = (config, trained.checkpoint)
    runs = {
        'page.html': ('data/browse.py', config, '--out'),
        'grid.png': ('analysis/draw_grid.py', *models, '--score-thr', '0.01', '--out'),
        'errors.png': ('analysis/draw_grid.py', *models, '--mark-errors', '--choose', 'errors', '--out'),
        'saved.png': (
            *('analysis/draw_grid.py', '--detections', f'none={saved}', '--ann', truth, '--images', root / 'images'),
            '--out',
        ),
        'masks.json': (
            'data/derive_masks.py',
            put(tmp_path / 'boxes.json', boxes),
            '--images',
            root / 'images',
            '--out',
        ),
        'crops.png': (
            *('analysis/compare_masks.py', truth, f'same={truth}', '--images', root / 'images', '--per-class', '9'),
            '--picture',
        ),
        'labels': ('data/label.py', 'prelabels', *models, root / 'images', '--format', 'coco', '--out'),
        'copies': ('data/label.py', 'copies', copies),
    }
    for name, arguments in runs.items():
        done = tool(*arguments, out / name)
        done.told(r'skipped: .*a1\.png')
        assert done.code == 1 and (out / name).exists(), f'{name}: {done.text[-2000:]}'
    made = json.loads((out / 'masks.json').read_text())['annotations']
    assert {a['image_id'] for a in made if 'segmentation' in a} == {1, 3, 4}
