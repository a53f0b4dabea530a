import json
import re
import shutil
from collections import Counter

from mmdet_ir.datasets import coco_merge
from mmdet_ir.datasets.coco_files import (
    add_info,
    check_coco,
    check_file_name,
    class_categories,
    count_instances,
    output_folder,
    read_coco,
    write_coco,
)
from mmdet_ir.datasets.coco_merge import merge_data_sets
from mmdet_ir.datasets.coco_split import split_coco

import numpy as np
import pytest


def make_coco(boxes=((1, 2, 30, 40),), **changes) -> dict:
    coco = {
        'images': [{'id': 7, 'file_name': 'a.png', 'width': 64, 'height': 48}],
        'annotations': [
            {'id': 3 + i, 'image_id': 7, 'category_id': 1, 'bbox': list(box), 'area': 9, 'iscrowd': 0}
            for i, box in enumerate(boxes)
        ],
        'categories': class_categories(),
    }
    return coco | changes


def test_categories_are_the_four_classes_in_the_papers_order():
    assert [(c['id'], c['name']) for c in class_categories()] == [(1, 'human'), (2, 'car'), (3, 'bicycle'), (4, 'uav')]


def test_write_then_read(tmp_path):
    coco = make_coco(info={'description': 'Wärmebild'})
    write_coco(coco, tmp_path / 'deep' / 'a.json')
    assert read_coco(tmp_path / 'deep' / 'a.json') == coco
    assert [p.name for p in (tmp_path / 'deep').iterdir()] == ['a.json']


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ({}, {}),
        ({'info': None}, {}),
        ({'info': ''}, {}),
        ({'info': []}, {}),
        ({'info': {'year': 2025}}, {'year': 2025}),
        ({'info': 'day 1'}, {'description': 'day 1'}),
        ({'info': ['day 1']}, {'description': ['day 1']}),
    ],
)
def test_info_as_tools_write_it(changes, expected):
    coco = make_coco(**changes)
    add_info(coco, masks='derived')
    assert coco == make_coco(info=expected | {'masks': 'derived'})


def test_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / 'a.json'
    write_coco(make_coco(), path)
    with pytest.raises(TypeError):
        write_coco({'images': {1, 2}}, path)
    assert read_coco(path) == make_coco()
    assert list(tmp_path.iterdir()) == [path]


ANNOTATION = make_coco()['annotations'][0]
IMAGE = make_coco()['images'][0]


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'annotations': None}, 'expected a list "annotations", got NoneType'),
        ({'images': []}, '"images" is empty'),
        ({'categories': []}, '"categories" is empty'),
        ({'images': [IMAGE, IMAGE]}, '1 ids that occur more than once in "images": 7'),
        ({'images': [{'id': 7, 'file_name': 'a.png'}]}, 'entry id 7 of "images" lacks width, height'),
        ({'images': [IMAGE | {'width': '64'}]}, 'not a positive whole number; image ids: 7'),
        ({'images': [IMAGE | {'height': 0}]}, 'not a positive whole number; image ids: 7'),
        ({'annotations': [ANNOTATION | {'id': [3]}]}, r'"annotations" that are neither whole numbers nor text: \[3\]'),
        ({'images': [['a.png']]}, 'entry number 0 of "images" lacks'),
        ({'images': [IMAGE | {'file_name': '../a.png'}]}, "image id 7: expected a file name .* got '../a.png'"),
        ({'annotations': [ANNOTATION | {'image_id': 8}]}, 'image id that is not in "images"; annotation ids: 3'),
        ({'annotations': [ANNOTATION | {'category_id': 9}]}, 'not in "categories"; annotation ids: 3'),
        ({'annotations': [ANNOTATION | {'bbox': [1, 2, 0, 4]}]}, 'width and height > 0; annotation ids: 3'),
        ({'annotations': [ANNOTATION | {'bbox': [1, 2, 5, -4]}]}, 'width and height > 0; annotation ids: 3'),
        ({'annotations': [ANNOTATION | {'bbox': [1, 2, 5]}]}, 'width and height > 0; annotation ids: 3'),
        ({'annotations': [ANNOTATION | {'bbox': [1, 2, 5, float('nan')]}]}, 'annotation ids: 3'),
        ({'annotations': [ANNOTATION | {'bbox': [float('inf'), 2, 5, 5]}]}, 'annotation ids: 3'),
    ],
)
def test_check_names_file_and_entry(changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        check_coco(make_coco(**changes), 'some/file.json')
    assert 'some/file.json' in str(caught.value)


def test_check_names_only_the_first_entries():
    with pytest.raises(ValueError, match=r'12 boxes .*: 3, 4, 5, 6, 7 and 7 more$'):
        check_coco(make_coco([(0, 0, 0, 5)] * 12), 'f.json')


def test_read_errors_name_the_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=re.escape(f'not found: {tmp_path / "no.json"}')):
        read_coco(tmp_path / 'no.json')
    text = json.dumps(make_coco())
    for name, content in {'cut.json': text[: len(text) // 2], 'empty.json': '', 'binary.json': '\x00\x01'}.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(ValueError, match=rf'{name} is not valid JSON'):
            read_coco(tmp_path / name)
    (tmp_path / 'latin.json').write_bytes(b'{"info": "W\xe4rme"}')
    with pytest.raises(ValueError, match='latin.json: expected text in UTF-8, got the byte 0xe4 at position 11'):
        read_coco(tmp_path / 'latin.json')
    (tmp_path / 'list.json').write_text('[]')
    with pytest.raises(ValueError, match='list.json: expected a JSON object .* got a list'):
        read_coco(tmp_path / 'list.json')


@pytest.mark.parametrize(
    'name', ['../a.png', 'x/../../a.png', '/etc/a.png', r'..\a.png', r'C:\a.png', '', None, 'a\0b']
)
def test_file_names_stay_in_their_folder(name):
    with pytest.raises(ValueError, match='where: expected a file name inside the image folder'):
        check_file_name(name, 'where')


def test_plain_file_names_pass():
    for name in ('a.png', 'x/y.jpg', '..a.png'):
        assert check_file_name(name, '') == name


def test_output_folder_appears_only_when_complete(tmp_path):
    out = tmp_path / 'out'
    with pytest.raises(RuntimeError), output_folder(out) as folder:
        (folder / 'images' / 'a.png').write_text('a')
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with output_folder(out) as folder:
        (folder / 'images' / 'a.png').write_text('a')
        assert not out.exists()
    assert (out / 'images' / 'a.png').read_text() == 'a'
    assert list(tmp_path.iterdir()) == [out]


def test_output_folder_replaces_data_sets_only(tmp_path):
    out = tmp_path / 'out'
    with output_folder(out) as folder:
        (folder / 'images' / 'old.png').write_text('')
    with pytest.raises(FileExistsError, match='is not empty; .*--overwrite'), output_folder(out):
        pass
    with pytest.raises(RuntimeError), output_folder(out, overwrite=True):
        raise RuntimeError
    assert (out / 'images' / 'old.png').exists()
    with output_folder(out, overwrite=True) as folder:
        (folder / 'images' / 'new.png').write_text('')
    assert [p.name for p in (out / 'images').iterdir()] == ['new.png']
    (out / 'annotations' / 'train_boxinst.json').write_text('{}')
    told = 'other files than those of the parts, .*train_boxinst.json'
    with pytest.raises(FileExistsError, match=told), output_folder(out, True):
        pass
    (out / 'annotations' / 'train_boxinst.json').rename(out / 'annotations' / 'train.json')
    with output_folder(out, overwrite=True):
        pass
    (out / 'thesis.tex').write_text('')
    with pytest.raises(FileExistsError, match='holds more than a data set.*thesis.tex'), output_folder(out, True):
        pass
    with pytest.raises(FileExistsError, match='got the file'), output_folder(out / 'thesis.tex', True):
        pass


@pytest.mark.parametrize('name', ['a.json', 'day/a.txt', 'day/A.XML'])
def test_output_folder_never_deletes_labels(tmp_path, name):
    """LabelMe and label.py prelabels write beside the images, also beside those of a data set."""
    with output_folder(tmp_path / 'out') as folder:
        (folder / 'images' / 'day').mkdir()
        (folder / 'images' / name).write_text('drawn by hand')
    with pytest.raises(FileExistsError, match='images/ holds labels'), output_folder(tmp_path / 'out', True):
        pass
    assert (tmp_path / 'out' / 'images' / name).read_text() == 'drawn by hand'
    (tmp_path / 'out' / 'images' / name).unlink()
    with output_folder(tmp_path / 'out', True):
        pass


def test_output_folder_never_replaces_what_is_read(tmp_path):
    root = tmp_path / 'export'
    for name in ('annotations/a.json', 'images/deep/a.png', 'out/images/old.png'):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (tmp_path / 'far').mkdir()
    (tmp_path / 'far' / 'b.png').write_text('b')
    (root / 'images' / 'b.png').symlink_to(tmp_path / 'far' / 'b.png')
    (tmp_path / 'link').symlink_to(root)
    before = sorted((path, path.is_file() and path.read_text()) for path in tmp_path.rglob('*'))
    for out, source, told in (
        (root, root, 'export is one of the sources'),
        (tmp_path / 'link', root, 'export is one of the sources'),
        (root, tmp_path / 'link', 'export is one of the sources'),
        (root, root / 'images' / 'deep', 'export holds the source .*deep;'),
        (root, root / 'annotations' / 'a.json', 'export holds the source'),
        (root, tmp_path / 'link' / 'images' / 'b.png', 'export holds the source'),  # (the link itself lies there)
        (root / 'out', root, 'out lies in the source .*if it is an earlier output'),
    ):
        for overwrite in (True, False):
            with pytest.raises(ValueError, match=told), output_folder(out, overwrite, [tmp_path / 'far', source]):
                pass
    assert sorted((path, path.is_file() and path.read_text()) for path in tmp_path.rglob('*')) == before
    with output_folder(root / 'new', sources=[root]):  # nothing is there that could be read or lost
        pass
    with output_folder(root / 'out', overwrite=True, sources=[root / 'images', tmp_path / 'none']):
        pass
    assert not (root / 'out' / 'images' / 'old.png').exists()


def write_data_set(root, categories, boxes, license_name='CC0'):
    """Two images a split, ``boxes`` as (image number, category id) in each split."""
    for split in ('train', 'val'):
        coco = {
            'info': {'description': root.name},
            'licenses': [{'id': 5, 'name': license_name}],
            'categories': categories,
            'images': [
                {'id': i, 'file_name': f'{split}/{i}.png', 'width': 64, 'height': 48, 'license': 5, 'clip': f'c{i}'}
                for i in (0, 1)
            ],
            'annotations': [
                {
                    'id': k,
                    'image_id': i,
                    'category_id': c,
                    'bbox': [k, i, 9, 8],
                    'area': 50 + k,
                    'mask_source': 'derived',
                }
                for k, (i, c) in enumerate(boxes)
            ],
        }
        write_coco(coco, root / 'annotations' / f'{split}.json')
        for i in (0, 1):
            (root / 'images' / split).mkdir(parents=True, exist_ok=True)
            (root / 'images' / split / f'{i}.png').write_text(f'{root.name} {split} {i}')


def test_merge_renumbers_and_maps_by_name(tmp_path):
    # Ids clash, start at 0, and mean different classes.
    write_data_set(
        tmp_path / 'roads', [{'id': 0, 'name': 'car'}, {'id': 1, 'name': 'human'}], [(0, 0), (1, 1), (1, 1)]
    )
    write_data_set(tmp_path / 'sky', [{'id': 0, 'name': 'uav'}], [(1, 0)], license_name='CC BY')
    merged = merge_data_sets(tmp_path / 'all', [tmp_path / 'roads', tmp_path / 'sky'])
    for split in ('train', 'val'):
        coco = read_coco(tmp_path / 'all' / 'annotations' / f'{split}.json')
        assert coco == merged[split]
        assert coco['categories'] == class_categories()
        assert count_instances(coco) == {'human': 2, 'car': 1, 'bicycle': 0, 'uav': 1}
        by_id = {image['id']: image for image in coco['images']}
        assert len(by_id) == 4 and len({a['id'] for a in coco['annotations']}) == 4
        # Every box still lies on its image: bbox holds (old annotation id, old image id), the file its origin.
        for a in coco['annotations']:
            image = by_id[a['image_id']]
            origin = (tmp_path / 'all' / 'images' / image['file_name']).read_text()
            assert origin == f'{image["source"]} {split} {a["bbox"][1]}'
            assert image['clip'] == f'c{a["bbox"][1]}'
            assert (a['area'], a['mask_source']) == (50 + a['bbox'][0], 'derived')
        licenses = {entry['id']: entry['name'] for entry in coco['licenses']}
        assert {(i['source'], licenses[i['license']]) for i in coco['images']} == {('roads', 'CC0'), ('sky', 'CC BY')}
        assert coco['info']['sources'] == {'roads': {'description': 'roads'}, 'sky': {'description': 'sky'}}


def test_merge_of_all_parts(tmp_path, monkeypatch):
    """A test part of both sources, one without ground truth, and files that are no parts, which are told."""
    for name in ('roads', 'sky', 'sea'):
        write_data_set(tmp_path / name, [{'id': 1, 'name': 'car'}], [(0, 1)])
        text = (tmp_path / name / 'annotations' / 'val.json').read_text()
        (tmp_path / name / 'annotations' / 'test.json').write_text(text.replace('val/', 'test/'))
        shutil.copytree(tmp_path / name / 'images' / 'val', tmp_path / name / 'images' / 'test')
    shutil.copy(tmp_path / 'sky/annotations/train.json', tmp_path / 'sky/annotations/train_boxinst.json')
    change(tmp_path / 'sea', 'test', lambda coco: coco.pop('annotations'))
    told = []
    monkeypatch.setattr(coco_merge, 'print_log', lambda text, logger: told.append(text))
    merged = merge_data_sets(tmp_path / 'all', [tmp_path / name for name in ('roads', 'sky', 'sea')])
    assert list(merged) == ['train', 'val', 'test']
    assert [image['file_name'] for image in merged['test']['images']] == [
        f'{name}/test/{i}.png' for name in ('roads', 'sky') for i in (0, 1)
    ]
    assert (tmp_path / 'all/images/sky/test/1.png').read_text() == 'sky val 1'
    assert [line.split(': left out: ')[0] for line in told] == [
        str(tmp_path / 'sky/annotations/train_boxinst.json'),
        str(tmp_path / 'sea/annotations/test.json'),
    ]
    change(tmp_path / 'roads', 'test', lambda coco: coco['images'][1].update(file_name='val/1.png'))
    with pytest.raises(ValueError, match='test.json: 1 images are in val.json as well, .*: val/1.png'):
        merge_data_sets(tmp_path / 'other', [tmp_path / 'roads'])


def test_merge_keeps_what_was_set_aside(tmp_path):
    for name in ('roads', 'sky'):
        write_data_set(tmp_path / name, [{'id': 1, 'name': 'car'}], [(0, 1)])
    dev = tmp_path / 'sky' / 'annotations' / 'dev.json'
    dev.write_text((tmp_path / 'sky' / 'annotations' / 'val.json').read_text().replace('val/', 'dev/'))
    shutil.copytree(tmp_path / 'sky' / 'images' / 'val', tmp_path / 'sky' / 'images' / 'dev')
    assert list(merge_data_sets(tmp_path / 'all', [tmp_path / 'roads', tmp_path / 'sky'])) == ['train', 'val', 'dev']
    parts = {split: read_coco(tmp_path / 'all' / 'annotations' / f'{split}.json') for split in ('val', 'dev')}
    assert [image['source'] for image in parts['dev']['images']] == ['sky', 'sky']
    assert [image['source'] for image in parts['val']['images']] == ['roads', 'roads', 'sky', 'sky']


def test_merge_errors(tmp_path):
    good, bad = tmp_path / 'good', tmp_path / 'bad'
    write_data_set(good, [{'id': 1, 'name': 'car'}], [(0, 1)])
    write_data_set(bad, [{'id': 1, 'name': 'person'}], [(0, 1)])
    with pytest.raises(ValueError, match='bad/annotations/train.json: 1 categories that are none of human.*: person'):
        merge_data_sets(tmp_path / 'all', [good, bad])
    with pytest.raises(ValueError, match='share a folder name: good'):
        merge_data_sets(tmp_path / 'all', [good, tmp_path / 'x' / 'good'])
    with pytest.raises(ValueError, match='is one of the sources'):
        merge_data_sets(good, [good], overwrite=True)
    with pytest.raises(ValueError, match='holds the source'):
        merge_data_sets(tmp_path, [good], overwrite=True)
    with pytest.raises(FileNotFoundError, match='none/annotations/train.json'):
        merge_data_sets(tmp_path / 'all', [tmp_path / 'none'])
    (good / 'images' / 'val' / '1.png').unlink()
    with pytest.raises(FileNotFoundError, match='good/images/val/1.png'):
        merge_data_sets(tmp_path / 'all', [good])
    assert sorted(p.name for p in tmp_path.iterdir()) == ['bad', 'good']


def test_merge_tells_which_images_change_their_part(tmp_path, monkeypatch):
    """A date that was set aside in a source is no longer, so that images which choices were made on are trained on."""
    write_data_set(tmp_path / 'sky', [{'id': 0, 'name': 'uav'}], [(1, 0)])
    annotations = tmp_path / 'sky/annotations'
    dev = read_coco(annotations / 'train.json')
    write_coco({**dev, 'images': dev['images'][:1], 'annotations': []}, annotations / 'dev.json')
    write_coco({**dev, 'images': dev['images'][1:]}, annotations / 'train.json')
    told = []
    monkeypatch.setattr(coco_merge, 'print_log', lambda text, logger: told.append(text))
    merge_data_sets(tmp_path / 'all', [tmp_path / 'sky'])
    merge_data_sets(tmp_path / 'all', [tmp_path / 'sky'], overwrite=True)
    assert not told
    (annotations / 'dev.json').unlink()
    write_coco(dev, annotations / 'train.json')
    merge_data_sets(tmp_path / 'all', [tmp_path / 'sky'], overwrite=True)
    assert [text.split(': ', 1)[1] for text in told] == [
        '1 of 4 images are in another part than before, '
        'the first: sky/train/0.png was in dev.json and is in train.json'
    ]


def change(root, split, edit):
    path = root / 'annotations' / f'{split}.json'
    coco = json.loads(path.read_text())
    edit(coco)
    path.write_text(json.dumps(coco))


@pytest.mark.parametrize('licences', [None, [], {}, [None], 'CC0', [{'name': 'CC0'}]])
def test_merge_with_null_where_tools_write_it(tmp_path, licences):
    write_data_set(tmp_path / 'a', [{'id': 1, 'name': 'car'}], [(0, 1)])
    write_data_set(tmp_path / 'b', [{'id': 1, 'name': 'car'}], [(0, 1)])
    change(tmp_path / 'b', 'train', lambda coco: coco.update(info=None, licenses=licences))
    change(tmp_path / 'b', 'train', lambda coco: coco['images'][0].update(license=None))
    change(tmp_path / 'b', 'train', lambda coco: coco['images'][1].update(license=[1]))
    merged = merge_data_sets(tmp_path / 'all', [tmp_path / 'a', tmp_path / 'b'])['train']
    assert [image['license'] for image in merged['images']] == [1, 1, None, None]
    assert merged['info']['sources']['b'] == {}


def test_merge_of_stacks_and_counts(tmp_path):
    """Three pages of one file, a picture with its counts; fields that only look like files stay."""
    for name in ('a', 'b'):
        write_data_set(tmp_path / name, [{'id': 1, 'name': 'car'}], [(0, 1)])

    def stack(coco):
        for page, image in enumerate(coco['images']):
            image.update(file_name='train/0.png', page=page)

    def counts(coco):
        coco['images'][0].update(counts_file='counts/0.tiff', coco_url='http://x/0.png', original='gone.png')

    (tmp_path / 'b/images/counts').mkdir()
    (tmp_path / 'b/images/counts/0.tiff').write_text('counts')
    change(tmp_path / 'a', 'train', stack)
    change(tmp_path / 'b', 'val', counts)
    merged = merge_data_sets(tmp_path / 'all', [tmp_path / 'a', tmp_path / 'b'])
    pages = [(image['file_name'], image['page']) for image in merged['train']['images'] if image['source'] == 'a']
    assert pages == [('a/train/0.png', 0), ('a/train/0.png', 1)]
    assert (tmp_path / 'all/images/a/train/0.png').read_text() == 'a train 0'
    image = next(image for image in merged['val']['images'] if 'counts_file' in image)
    assert image['counts_file'] == 'b/counts/0.tiff'
    assert (tmp_path / 'all/images/b/counts/0.tiff').read_text() == 'counts'
    assert (image['coco_url'], image['original']) == ('http://x/0.png', 'gone.png')


def test_merge_refuses_frames_of_two_splits(tmp_path):
    write_data_set(tmp_path / 'a', [{'id': 1, 'name': 'car'}], [(0, 1)])
    change(tmp_path / 'a', 'val', lambda coco: coco['images'][1].update(file_name='train/1.png'))
    with pytest.raises(ValueError, match='val.json: 1 images are in train.json as well, .*: train/1.png'):
        merge_data_sets(tmp_path / 'all', [tmp_path / 'a'])
    # other pages of a stack are other images
    change(tmp_path / 'a', 'val', lambda coco: coco['images'][1].update(page=1))
    assert len(merge_data_sets(tmp_path / 'all', [tmp_path / 'a'])['val']['images']) == 2
    change(tmp_path / 'a', 'train', lambda coco: coco['images'][1].update(page=1))
    with pytest.raises(ValueError, match='train/1.png, page 1'):
        merge_data_sets(tmp_path / 'other', [tmp_path / 'a'])


def test_merge_of_other_classes(tmp_path):
    """Classes of one's own in another order, if all sources have them."""
    write_data_set(tmp_path / 'a', [{'id': 7, 'name': 'ship'}, {'id': 'x', 'name': 'buoy'}], [(0, 7), (1, 'x')])
    write_data_set(tmp_path / 'b', [{'id': 1, 'name': 'buoy'}, {'id': 2, 'name': 'ship'}], [(0, 1), (1, 1)])
    merged = merge_data_sets(tmp_path / 'all', [tmp_path / 'a', tmp_path / 'b'])['train']
    assert [category['name'] for category in merged['categories']] == ['ship', 'buoy']
    assert [a['category_id'] for a in merged['annotations']] == [1, 2, 2, 2]
    write_data_set(tmp_path / 'c', [{'id': 1, 'name': 'buoy'}], [(0, 1)])
    with pytest.raises(ValueError, match=r'c/.*: 2 categories that are none of .* not the same in all.*: buoy, ship'):
        merge_data_sets(tmp_path / 'other', [tmp_path / 'a', tmp_path / 'c'])


def make_large(images=250, groups=25, seed=3) -> dict:
    """Images with 0 to 5 instances of four classes of very different frequency."""
    rng = np.random.default_rng(seed)
    coco = make_coco(
        [],
        images=[
            {'id': 10 + i, 'file_name': f'{i}.png', 'width': 64, 'height': 48, 'clip': int(rng.integers(groups))}
            for i in range(images)
        ],
    )
    for image in coco['images']:
        for _ in range(rng.integers(6)):
            category = int(rng.choice([1, 2, 3, 4], p=[0.6, 0.25, 0.1, 0.05]))
            coco['annotations'].append(
                ANNOTATION | {'id': len(coco['annotations']), 'image_id': image['id'], 'category_id': category}
            )
    return coco


@pytest.mark.parametrize('group_by', [None, 'clip'])
def test_split_is_a_partition(group_by):
    coco = make_large()
    parts = split_coco(coco, 0.8, 0, group_by)
    for key in ('images', 'annotations'):
        ids = [entry['id'] for part in parts for entry in part[key]]
        assert sorted(ids) == sorted(entry['id'] for entry in coco[key])
    for part in parts:
        check_coco(part, 'part')
        assert part['categories'] == coco['categories']
    if group_by:
        train, val = ({image['clip'] for image in part['images']} for part in parts)
        assert train and val and not train & val


@pytest.mark.parametrize(('group_by', 'tolerance'), [(None, 0.02), ('clip', 0.06)])
def test_split_keeps_every_class_near_the_ratio(group_by, tolerance):
    coco = make_large()
    train, _ = split_coco(coco, 0.8, 0, group_by)
    total, part = (Counter(a['category_id'] for a in c['annotations']) for c in (coco, train))
    assert min(total.values()) > 20
    for category, n in total.items():
        assert part[category] / n == pytest.approx(0.8, abs=tolerance)
    assert len(train['images']) / 250 == pytest.approx(0.8, abs=1e-9 if group_by is None else tolerance)


@pytest.mark.parametrize('ratio', [0.001, 0.5, 0.8, 0.999])
@pytest.mark.parametrize('group_by', [None, 'clip'])
def test_split_never_leaves_a_part_empty(ratio, group_by):
    train, val = split_coco(make_large(images=40, groups=8), ratio, 0, group_by)
    assert train['images'] and val['images']
    if group_by is None:
        assert len(train['images']) == min(max(round(40 * ratio), 1), 39)


def test_split_depends_on_the_seed_only():
    first, again, other = (split_coco(make_large(), 0.8, seed)[1] for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_split_errors():
    coco = make_large(images=10)
    with pytest.raises(ValueError, match='ratio between 0 and 1, got 1'):
        split_coco(coco, 1, 0)
    with pytest.raises(ValueError, match='10 images lack the field "date"; image ids: 10, 11'):
        split_coco(coco, 0.8, 0, 'date')
    with pytest.raises(ValueError, match='at least 2 widths to split, got 1'):
        split_coco(coco, 0.8, 0, 'width')
