"""The command line of all converters."""

from mmdet_ir.datasets import IRDataset
from mmdet_ir.datasets.converters import (
    convert_cvat_coco,
)
from mmdet_ir.datasets.images import readers

import numpy as np
import pytest
from hand_made import (
    BAR,
    FOUR,
    TRIANGLE,
    cvat_file,
    labelme_shapes,
    load,
    pixels,
    voc_object,
    write_image,
    write_json,
    write_labelme,
    write_mask,
    write_voc,
    write_yolo,
)
from mmengine.registry import DefaultScope


def test_tool(tmp_path, run_tool, capsys):
    src = tmp_path / 'src'
    write_yolo(src / 'yolo')
    write_image(src / 'voc/a.png')
    write_voc(src / 'voc/a.xml', [voc_object('rider', (0, 0, 9, 9))], 'a.png')
    write_image(src / 'masks/images/a.png')
    write_mask(src / 'masks/masks/a.png', pixels([BAR]).astype(np.uint8))
    write_image(src / 'labelme/a.png')
    write_labelme(src / 'labelme/a.json', labelme_shapes('a'), 'a.png')
    write_labelme(src / 'labelme/b.json', labelme_shapes('a'), '../b.png')
    write_image(src / 'cvat/images/a.png')
    write_json(src / 'cvat/annotations/instances_default.json', cvat_file('a', True))
    runs = {
        'yolo-seg': ('yolo', '--classes', 'four'),
        'voc': ('voc', '--origin', 0, '--classes', 'human=rider'),
        'masks': ('masks', '--kind', 'semantic', '--values', '1=person', '2=car'),
        'labelme': ('labelme', '--classes', 'four'),
        'cvat-coco': ('cvat', '--keep-iscrowd', '--classes', 'four'),
    }
    for name, (folder, *more) in runs.items():
        # (Of LabelMe's files there is one without its image.)
        assert run_tool(name, src / folder, tmp_path / name, *more) == int(name == 'labelme')
        assert load(tmp_path / name, 'train' if folder == 'yolo' else 'all')['annotations']
    assert load(tmp_path / 'voc')['annotations'][0]['bbox'] == [0, 0, 9, 9]
    text = capsys.readouterr().out
    assert 'ignored regions: car 1, human 1' in text and 'skipped 1 files' in text
    for bad in ('person', '1=', 'x=person', '1=person'):
        with pytest.raises(ValueError, match='--values: expected '):
            run_tool('masks', src, tmp_path / 'x', '--kind', 'semantic', '--values', '1=a', bad)


@pytest.mark.parametrize('kind', ['cvat-coco', 'labelme', 'voc', 'masks', 'yolo-seg'])
def test_the_source_is_never_replaced(tmp_path, run_tool, kind):
    """Sources in folders of the names that a data set has."""
    src, more = tmp_path / 'src', ()
    write_image(src / 'images/a.png')
    if kind == 'cvat-coco':
        write_json(src / 'annotations/instances_default.json', cvat_file('a', True))
    elif kind == 'labelme':
        write_labelme(src / 'annotations/a.json', labelme_shapes('a'), '../images/a.png')
    elif kind == 'voc':
        write_voc(src / 'annotations/a.xml', [voc_object('car', (0, 0, 9, 9))], 'a.png')
    elif kind == 'masks':
        write_mask(src / 'masks/a.png', pixels([BAR]).astype(np.uint8))
        more = ('--kind', 'semantic', '--values', '1=car')
    else:
        write_yolo(src)
    before = {path: path.read_bytes() for path in src.rglob('*') if path.is_file()}
    for out, told in ((src, 'is one of the sources'), (tmp_path, 'holds the source')):
        for overwrite in ((), ('--overwrite',)):
            with pytest.raises(ValueError, match=told):
                run_tool(kind, src, out, *more, *overwrite)
    assert run_tool(kind, src, src / 'out', *more) == 0
    with pytest.raises(ValueError, match='lies in the source'):
        run_tool(kind, src, src / 'out', *more, '--overwrite')
    assert {path: path.read_bytes() for path in before} == before
    assert load(src / 'out', 'train' if kind == 'yolo-seg' else 'all')['annotations']


@pytest.mark.parametrize('kind', ['cvat-coco', 'labelme', 'voc', 'yolo-seg'])
def test_an_earlier_output_is_no_source(tmp_path, run_tool, capsys, kind):
    """Within the source lie its images once more, and what was made of their labels."""
    src = tmp_path / 'src'
    write_image(src / 'a.png')
    if kind == 'cvat-coco':
        coco = cvat_file('a', True)
        coco['images'][0]['file_name'] = 'A.PNG'
        write_json(src / '_annotations.coco.json', coco)
    elif kind == 'labelme':
        write_labelme(src / 'a.json', labelme_shapes('a'), 'lost.png')
    elif kind == 'voc':
        write_voc(src / 'a.xml', [voc_object('car', (0, 0, 9, 9))], 'a')
    else:
        write_json(src / 'data.yaml', {'train': '.', 'names': ['car']})
        (src / 'a.txt').write_text('0 0.5 0.5 0.2 0.2')
    assert run_tool(kind, src, src / 'out') == 0
    first = load(src / 'out', 'train' if kind == 'yolo-seg' else 'all')
    capsys.readouterr()
    assert run_tool(kind, src, tmp_path / 'other') == 0
    assert f'{src}/out was left out: it is a data set that was made earlier' in capsys.readouterr().out
    assert load(tmp_path / 'other', 'train' if kind == 'yolo-seg' else 'all') == first


def test_labels_beside_the_images_of_an_earlier_output_are_a_source(tmp_path, run_tool):
    write_image(tmp_path / 'src/a.png')
    write_labelme(tmp_path / 'src/a.json', labelme_shapes('a'), 'a.png')
    assert run_tool('labelme', tmp_path / 'src', tmp_path / 'sets/one') == 0
    write_labelme(tmp_path / 'sets/one/images/a.json', labelme_shapes('b'), 'a.png')
    run_tool('labelme', tmp_path / 'sets', tmp_path / 'two', '--classes', 'bicycle=bike')
    assert [a['source_class'] for a in load(tmp_path / 'two')['annotations']] == ['bike']


def test_converted_set_loads(tmp_path):
    """Classes, masks, images and sizes pass the checks of the data set that trains on them."""
    src = tmp_path / 'src'
    for image in 'ab':
        write_image(src / f'images/{image}.png')
    write_json(src / 'annotations/instances_train.json', cvat_file('ab', True))
    convert_cvat_coco(src, tmp_path / 'out', options=FOUR)
    pipeline = [{'type': 'LoadIRImageFromFile'}, {'type': 'LoadAnnotations', 'with_bbox': True, 'with_mask': True}]
    where = {
        'data_root': str(tmp_path / 'out'),
        'ann_file': 'annotations/train.json',
        'data_prefix': {'img': 'images/'},
    }
    with DefaultScope.overwrite_default_scope('mmdet'):
        dataset = IRDataset(**where, pipeline=pipeline)
    samples = list(dataset)
    areas = [mask.sum() for sample in samples for mask in sample['gt_masks'].masks]
    labels = [label for sample in samples for label in sample['gt_bboxes_labels']]
    assert areas == [150, 276, pixels([TRIANGLE]).sum()] and labels == [0, 1, 2]


def test_own_names_stay_and_losses_are_told(tmp_path, run_tool, capsys):
    """person stays person; 0 where all is written or left out by wish, 1 where objects are lost."""
    write_yolo(tmp_path / 'src')
    assert run_tool('yolo-seg', tmp_path / 'src', tmp_path / 'a') == 0
    coco = load(tmp_path / 'a', 'train')
    assert [c['name'] for c in coco['categories']] == ['dog', 'bike', 'person', 'car']
    assert sorted(a['category_id'] for a in coco['annotations']) == [1, 2, 3, 4]
    assert run_tool('yolo-seg', tmp_path / 'src', tmp_path / 'b', '--classes', 'human=person') == 0
    assert [a['source_class'] for a in load(tmp_path / 'b', 'train')['annotations']] == ['person']
    assert 'left out, no class for them (--classes): bike 1, car 1, dog 1' in capsys.readouterr().out
    with (tmp_path / 'src/labels/train/a.txt').open('a') as file:
        file.write('9 0.1 0.1 0.2 0.2 0.3 0.3')
    assert run_tool('yolo-seg', tmp_path / 'src', tmp_path / 'c') == 1
    assert 'dropped, (no class): class number that is not in data.yaml: 1' in capsys.readouterr().out


def test_values_of_masks_that_have_no_name_are_a_loss(tmp_path, run_tool, capsys):
    write_image(tmp_path / 'src/images/a.png')
    mask = pixels([BAR]).astype(np.uint8)
    mask[0, 0] = 7
    write_mask(tmp_path / 'src/masks/a.png', mask)
    assert run_tool('masks', tmp_path / 'src', tmp_path / 'a', '--kind', 'semantic', '--values', '1=person') == 1
    told = capsys.readouterr().out
    assert 'left out, no class for them: (7) 1' in told and 'name the numbers to take with --values' in told


@pytest.mark.parametrize('kind', ['cvat-coco', 'labelme', 'voc'])
@pytest.mark.parametrize('unknown', [0, -1])
def test_sizes_that_a_tool_did_not_know(tmp_path, run_tool, kind, unknown):
    """0 and -1 are what programs begin with (X-AnyLabeling, imports from other formats)."""
    src = tmp_path / 'src'
    write_image(src / 'images/a.png')
    if kind == 'cvat-coco':
        coco = cvat_file('a', True)
        coco['images'][0].update(width=unknown, height=unknown)
        write_json(src / 'annotations/instances_default.json', coco)
    elif kind == 'labelme':
        sizes = {'imageWidth': unknown, 'imageHeight': unknown}
        write_labelme(src / 'images/a.json', labelme_shapes('a'), 'a.png', **sizes)
    else:
        write_voc(src / 'images/a.xml', [voc_object('car', (1, 1, 9, 9))], 'a.png', (unknown, unknown))
    assert run_tool(kind, src, tmp_path / 'out') == 0
    (image,) = load(tmp_path / 'out')['images']
    assert (image['width'], image['height']) == (60, 40)


@pytest.mark.parametrize('kind', ['yolo-seg', 'masks'])
def test_images_that_share_their_labels_are_told(tmp_path, run_tool, capsys, kind):
    """a.png and a.jpg: labels and masks are named without the ending of their image."""
    src, more = tmp_path / 'src', ()
    for ending in ('png', 'jpg'):
        write_image(src / f'images/a.{ending}')
    if kind == 'masks':
        write_mask(src / 'masks/a.png', pixels([BAR]).astype(np.uint8))
        more = ('--kind', 'semantic', '--values', '1=car')
    else:
        write_json(src / 'data.yaml', {'val': 'images', 'train': 'images', 'names': ['car']})
        (src / 'labels').mkdir()
        (src / 'labels/a.txt').write_text('0 0.5 0.5 0.2 0.2')
    run_tool(kind, src, tmp_path / 'out', *more)
    told = '2 images share their labels with another image, from which they differ by the ending'
    assert told in capsys.readouterr().out
    (src / 'images/a.png').unlink()
    run_tool(kind, src, tmp_path / 'out', *more, '--overwrite')
    assert 'share their labels' not in capsys.readouterr().out


def test_why_no_image_has_an_object(tmp_path, run_tool):
    """The label file lies in a folder that is not the images'."""
    write_image(tmp_path / 'src/images/a.png')
    write_json(tmp_path / 'src/data.yaml', {'train': 'images', 'names': ['car']})
    (tmp_path / 'src/labels/day').mkdir(parents=True)
    (tmp_path / 'src/labels/day/a.txt').write_text('0 0.5 0.5 0.2 0.2')
    with pytest.raises(
        ValueError, match='none of the 1 images has an object; .*a.txt: no image of any split for this'
    ):
        run_tool('yolo-seg', tmp_path / 'src', tmp_path / 'out')


@pytest.mark.parametrize('first', ['raw', 'npy'])
def test_raw_files_are_not_written_into_the_source(tmp_path, run_tool, monkeypatch, capsys, first):
    """a.raw becomes a.npy; the a.npy that is there is linked, so that writing to it would change the source."""
    readers.reader_suffixes()
    monkeypatch.setattr(readers, '_readers', dict(readers._readers))  # (what the tool registers is gone after it)
    src, values = tmp_path / 'src', np.arange(7000, 7000 + 2400, dtype='<u2')
    src.mkdir()
    values.tofile(src / 'a.raw')
    np.save(src / 'a.npy', values[::-1].reshape(40, 60))
    before = (src / 'a.npy').read_bytes()
    for number, ending in enumerate(sorted(('raw', 'npy'), key=lambda ending: ending != first)):
        write_labelme(src / f'{number}.json', labelme_shapes('a'), f'a.{ending}')
    assert run_tool('labelme', src, tmp_path / 'out', '--raw', 60, 40, 'uint16') == 1
    assert (src / 'a.npy').read_bytes() == before
    other = 'npy' if first == 'raw' else 'raw'
    told = f'the image {src}/a.{other} would be a.npy in the data set, as {src}/a.{first} is; rename one of them'
    assert told in capsys.readouterr().out
    written = np.load(tmp_path / 'out/images/a.npy')
    assert written[0, 0] == (7000 if first == 'raw' else 9399)


def test_two_images_that_would_have_one_name(tmp_path, run_tool, capsys):
    """The first folder "images" is no part of a name; the second image has not occurred before."""
    for folder in ('', 'images/'):
        write_image(tmp_path / f'src/{folder}a.png')
        write_labelme(tmp_path / f'src/{folder}a.json', labelme_shapes('a'), 'a.png')
    assert run_tool('labelme', tmp_path / 'src', tmp_path / 'out') == 1
    told = f'the image {tmp_path}/src/images/a.png would be a.png in the data set, as {tmp_path}/src/a.png is; rename'
    assert told in capsys.readouterr().out
