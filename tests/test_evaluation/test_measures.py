import json
import math
import runpy
import sys
from pathlib import Path

from mmdet_ir.cli.errors import run_tool
from mmdet_ir.evaluation import IRCocoMetric, MeasureSettings, measure
from mmdet_ir.evaluation.mask_data import mask_data
from mmdet_ir.evaluation.measures import with_contrast

import cv2
import numpy as np
import pytest
import torch
from mask_scenes import box_of, random_scenes, rectangle, rle_of
from mmengine.structures import InstanceData
from pycocotools import mask as mask_utils

SHAPE = (128, 160)
TOOL = Path(__file__).parents[2] / 'tools' / 'analysis' / 'measure.py'


def one_class(images, **fields):
    """COCO content and detections; ``images``: for each image (targets, [(detected mask, score), ...])."""
    coco = {'images': [], 'annotations': [], 'categories': [{'id': 4, 'name': 'uav'}]}
    detections = []
    for i, (targets, found) in enumerate(images, start=1):
        more = {key: values[i - 1] for key, values in fields.items() if values[i - 1] is not None}
        coco['images'].append({'id': i, 'height': SHAPE[0], 'width': SHAPE[1], 'file_name': f'{i}.png', **more})
        for mask in targets:
            coco['annotations'].append(
                {
                    'id': len(coco['annotations']) + 1,
                    'image_id': i,
                    'category_id': 4,
                    'iscrowd': 0,
                    'area': int(mask.sum()),
                    'bbox': box_of(mask),
                    'segmentation': rle_of(mask),
                }
            )
        detections += [
            {'image_id': i, 'category_id': 4, 'score': score, 'segmentation': rle_of(mask)} for mask, score in found
        ]
    return coco, detections


def maps(groups):
    return {label: rows['all']['mAP'] for label, rows in groups.items()}


def test_bounds_of_sizes_belong_to_the_upper_bin():
    """Masks of 7 x 9, 8 x 8, 32 x 32 and 96 x 96 pixels; the one of 64 pixels is missed."""
    masks = [rectangle(SHAPE, 2, 2, *wh) for wh in ((7, 9), (8, 8), (32, 32), (96, 96))]
    coco, detections = one_class([([mask], [] if mask.sum() == 64 else [(mask, 0.9)]) for mask in masks])
    result = measure(coco, detections, extra=['size'])
    nothing = dict.fromkeys(('12-16', '16-24', '24-32'))
    found = {'0-8': 1, '8-12': 0, '32-96': 1, '96-inf': 1}
    assert maps(result['size']) == {k: v if v is None else pytest.approx(v) for k, v in (nothing | found).items()}
    assert [rows['all']['targets'] for rows in result['size'].values()] == [1, 1, 0, 0, 0, 1, 1]
    assert result['masks']['uav']['mAP'] == result['masks']['all']['mAP'] == pytest.approx(76 / 101)
    assert list(result['size']['0-8']['uav']) == ['targets', 'mAP', 'Recall', 'mAP50', 'mAP75']


def test_false_alarms_count_in_the_bin_of_their_own_size():
    small, large = rectangle(SHAPE, 5, 5, 6, 6), rectangle(SHAPE, 40, 40, 40, 40)
    alarm = rectangle(SHAPE, 100, 5, 9, 9)  # before all hits
    medium = rectangle(SHAPE, 5, 90, 10, 10)
    coco, detections = one_class([([small, medium, large], [(alarm, 0.9), (small, 0.8), (medium, 0.7), (large, 0.6)])])
    result = maps(measure(coco, detections, extra=['size'])['size'])
    assert result['0-8'] == result['32-96'] == pytest.approx(1)
    assert result['8-12'] == pytest.approx(0.5)


def write_picture(folder, name, levels, dtype=np.uint8):
    """Surroundings of mean 100 and deviation 2, and masks with their levels."""
    rows, columns = np.indices(SHAPE)
    image = np.where((rows + columns) % 2, 98, 102).astype(dtype)
    for mask, level in levels:
        image[mask] = level
    cv2.imwrite(str(folder / name), image)


def test_contrast_of_targets_and_of_false_alarms(tmp_path):
    """Signal-to-clutter ratios 1, 2 and 20; a false alarm of ratio 2 ranks before all hits, so does one of ratio 0."""
    weak, middle, strong = (rectangle(SHAPE, x, 20, 8, 8) for x in (10, 60, 110))
    ghost, nothing = rectangle(SHAPE, 60, 90, 8, 8), rectangle(SHAPE, 110, 90, 8, 8)
    found = [(ghost, 0.95), (nothing, 0.9), (weak, 0.8), (middle, 0.7), (strong, 0.6)]
    coco, detections = one_class([([weak, middle, strong], found), ([], [])])
    write_picture(tmp_path, '1.png', [(weak, 102), (middle, 104), (strong, 140), (ghost, 96)])
    result = measure(coco, detections, tmp_path, extra=['contrast'])['contrast']
    assert [rows['all']['targets'] for rows in result.values()] == [1, 1, 0, 1]
    expected = {'0-1.5': 0.5, '1.5-3': 0.5, '3-6': None, '6-inf': 1}
    assert maps(result) == {k: v if v is None else pytest.approx(v) for k, v in expected.items()}

    settings = MeasureSettings(contrast_bins=(0, 0.5, 1, math.inf))
    result = measure(coco, detections, tmp_path, extra=['contrast'], settings=settings)['contrast']
    assert maps(result) == {'0-0.5': None, '0.5-1': None, '1-inf': pytest.approx(0.75)}
    assert result['1-inf']['all']['targets'] == 3  # ratio 1 belongs to the bin from 1 on


def test_targets_of_other_classes_are_no_clutter(tmp_path):
    """A bright neighbour of a class that does not count stays out of the ring."""
    weak, bright = rectangle(SHAPE, 60, 20, 8, 8), rectangle(SHAPE, 70, 20, 8, 8)
    coco, _ = one_class([([weak, bright], [])])
    coco['categories'].append({'id': 99, 'name': 'other'})
    coco['annotations'][1]['category_id'] = 99
    write_picture(tmp_path, '1.png', [(weak, 110), (bright, 250)])
    classes = {category['name']: category['id'] for category in coco['categories']}
    alone = {name: number for name, number in classes.items() if number != 99}
    ratios = []
    for counted in (classes, alone):
        data = with_contrast(mask_data(coco, [], counted), tmp_path, MeasureSettings(), False)
        ratios.append(data.targets[0]['area'])
    assert ratios == pytest.approx([5.0, 5.0], abs=0.1)  # (110 - 100) / 2


def test_contrast_from_another_field_and_without_surroundings(tmp_path):
    mask, everything = rectangle(SHAPE, 60, 20, 8, 8), np.ones(SHAPE, bool)
    coco, detections = one_class([([mask], [(mask, 0.5)]), ([everything], [])], counts=['a.png', 'b.png'])
    write_picture(tmp_path, 'a.png', [(mask, 110)], np.uint16)
    write_picture(tmp_path, 'b.png', [], np.uint16)
    settings = MeasureSettings(image_key='counts')
    rows = measure(coco, detections, tmp_path, extra=['contrast'], settings=settings)['contrast']
    assert {k: r['all']['targets'] for k, r in rows.items()} == {'0-1.5': 0, '1.5-3': 0, '3-6': 1, '6-inf': 0}
    assert rows['3-6']['all']['Recall'] == pytest.approx(1)


def test_fields_are_scored_like_their_images_alone():
    coco, detections = random_scenes(3, num_images=10)
    del coco['images'][0]['scenario']
    for image in coco['images']:
        image['clip'] = image['id'] % 3
    result = measure(coco, detections, extra=['scenario', 'clip'])
    assert list(result['scenario']) == ['day', 'night', 'not stated'] and list(result['clip']) == ['0', '1', '2']
    for field in ('scenario', 'clip'):
        for value, rows in result[field].items():
            ids = [i['id'] for i in coco['images'] if str(i.get(field, 'not stated')) == value]
            alone = measure(coco, detections, extra=[], image_ids=ids)
            assert alone['masks'] == rows
            assert alone['images'] == len(ids)
    assert len({rows['all']['mAP'] for rows in result['scenario'].values()}) == 3


def test_default_is_what_the_data_allow(tmp_path):
    coco, detections = random_scenes(4)
    assert set(measure(coco, detections)) == {
        'images',
        'detections',
        'settings',
        'masks',
        'boundary',
        'size',
        'scenario',
    }
    slow = measure(coco, detections, settings=MeasureSettings(backend='pycocotools'))
    assert 'boundary' not in slow
    fast = measure(coco, detections)
    for name in ('masks', 'size', 'scenario'):
        assert json.loads(json.dumps(slow[name]), parse_float=lambda x: round(float(x), 12)) == json.loads(
            json.dumps(fast[name]), parse_float=lambda x: round(float(x), 12)
        )


def test_classes_need_not_be_in_the_order_of_their_ids():
    coco, detections = random_scenes(5)
    forward = measure(coco, detections, extra=['size'])
    coco['categories'] = coco['categories'][::-1]
    backward = measure(coco, detections, extra=['size'])
    assert backward == forward
    assert list(backward['masks'])[1:] == list(forward['masks'])[:0:-1]
    assert len({row['mAP'] for row in forward['masks'].values()}) > 2


def predictions_of(coco, detections, classes):
    """The detections as a model's output, for each image of the file."""
    samples = []
    for image in coco['images']:
        found = [d for d in detections if d['image_id'] == image['id']]
        masks = [mask_utils.decode(d['segmentation']).astype(bool) for d in found]
        shape = (image['height'], image['width'])
        boxes = torch.tensor([d['bbox'] for d in found], dtype=torch.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        instances = InstanceData(
            bboxes=boxes,
            labels=torch.tensor([classes.index(d['category_id']) for d in found], dtype=torch.long),
            scores=torch.tensor([d['score'] for d in found]),
            masks=torch.from_numpy(np.stack(masks) if masks else np.zeros((0, *shape), bool)),
        )
        samples.append({'img_id': image['id'], 'ori_shape': shape, 'pred_instances': instances})
    return samples


def test_contrast_of_the_pages_of_a_stack(tmp_path):
    masks = [rectangle(SHAPE, x, 20, 8, 8) for x in (10, 60)]
    coco, detections = one_class([([mask], [(mask, 0.5)]) for mask in masks])
    for i, (mask, level) in enumerate(zip(masks, (104, 140), strict=True), start=1):
        write_picture(tmp_path, f'{i}.png', [(mask, level)])
    expected = measure(coco, detections, tmp_path, extra=['contrast'])['contrast']
    pages = [cv2.imread(str(tmp_path / f'{i}.png'), cv2.IMREAD_UNCHANGED) for i in (1, 2)]
    np.save(tmp_path / 'stack.npy', np.stack(pages))
    for page, image in enumerate(coco['images']):
        image |= {'file_name': 'stack.npy', 'page': page}
    assert measure(coco, detections, tmp_path, extra=['contrast'])['contrast'] == expected
    assert [rows['all']['targets'] for rows in expected.values()] == [0, 1, 0, 1]


def test_scores_are_saved_before_an_image_fails(tmp_path):
    mask = rectangle(SHAPE, 5, 5, 6, 6)
    coco, detections = one_class([([mask], [(mask, 0.9)]), ([mask], [(mask, 0.8)])])
    (tmp_path / 'gt.json').write_text(json.dumps(coco))
    write_picture(tmp_path, '1.png', [])
    (tmp_path / '2.png').write_bytes(b'damaged')
    settings = {'metric': 'segm', 'extra': ['contrast'], 'out_json': str(tmp_path / 'scores.json')}
    for options, message in (
        (
            {'image_root': str(tmp_path / 'none')},
            r'expected them in the folder .*none, got none of 2, such as .*1\.png',
        ),
        ({'extra_settings': {'image_key': 'counts'}}, 'expected the field "counts" in the images of .*gt.json'),
    ):
        with pytest.raises(ValueError, match=message):
            IRCocoMetric(str(tmp_path / 'gt.json'), **{'image_root': str(tmp_path)} | settings | options)
    metric = IRCocoMetric(str(tmp_path / 'gt.json'), image_root=str(tmp_path), **settings)
    metric.dataset_meta = {'classes': [category['name'] for category in coco['categories']]}
    found = [{**detection, 'bbox': [5, 5, 6, 6]} for detection in detections]
    metric.process({}, predictions_of(coco, found, [category['id'] for category in coco['categories']]))
    with pytest.raises(ValueError, match=r'2\.png'):
        metric.evaluate(2)
    assert json.loads((tmp_path / 'scores.json').read_text())['metrics']['segm']['all']['mAP'] == pytest.approx(1)


def test_metric_gives_the_same_from_its_own_files(tmp_path):
    coco, detections = random_scenes(6)
    coco['categories'] = coco['categories'][::-1]
    (tmp_path / 'gt.json').write_text(json.dumps(coco))
    pixels = np.random.default_rng(0).integers(0, 255, (len(coco['images']), 72, 90), np.uint8)
    for image, values in zip(coco['images'], pixels, strict=True):
        cv2.imwrite(str(tmp_path / image['file_name']), values)
    flat, saved = {}, {}
    for backend, extra in (('faster-coco-eval', ('boundary', 'size', 'contrast', 'scenario')), ('pycocotools', ())):
        metric = IRCocoMetric(
            str(tmp_path / 'gt.json'),
            outfile_prefix=str(tmp_path / backend),
            backend=backend,
            extra=extra,
            out_json=str(tmp_path / f'{backend}.json'),
            image_root=str(tmp_path),
            extra_settings={'ring_width': 5},
        )
        metric.dataset_meta = {'classes': [category['name'] for category in coco['categories']]}
        metric.process({}, predictions_of(coco, detections, [category['id'] for category in coco['categories']]))
        flat[backend] = metric.evaluate(len(coco['images']))
        saved[backend] = json.loads((tmp_path / f'{backend}.json').read_text())
    assert 'extra' not in saved['pycocotools']
    for key, value in flat['pycocotools'].items():
        assert flat['faster-coco-eval'][key] == pytest.approx(value, rel=0, abs=1e-15, nan_ok=True)

    fast = saved['faster-coco-eval']
    result = measure(
        tmp_path / 'gt.json',
        tmp_path / 'faster-coco-eval.segm.json',
        tmp_path,
        settings=MeasureSettings(ring_width=5),
    )
    assert fast['metrics']['segm'] == result['masks']
    assert fast['extra'] == {name: result[name] for name in ('boundary', 'size', 'contrast', 'scenario')}
    scores = flat['faster-coco-eval']
    assert scores['coco/segm_boundary_mAP'] == result['boundary']['all']['mAP']
    assert scores['coco/segm_size_12-16_mAP'] == result['size']['12-16']['all']['mAP']
    assert scores['coco/segm_scenario_night_mAP'] == result['scenario']['night']['all']['mAP']


def test_mistakes_are_named(tmp_path):
    mask = rectangle(SHAPE, 5, 5, 6, 6)
    coco, (detection,) = one_class([([mask], [(mask, 0.9)])])

    def refused(message, entry=detection, **options):
        with pytest.raises(ValueError, match=message):
            measure(coco, [entry], **options)

    refused(r"extra: expected any of .* a field of the images of annotations .*, got 'colour'", extra=['colour'])
    refused('extra: contrast is taken from the images: expected their folder', extra=['contrast'])
    refused("extra: expected a list of names, got the text 'size'", extra='size')
    refused(
        r'detections: 1 detections are of images that the .* does not have; image ids: 7',
        {**detection, 'image_id': 7},
    )
    refused(
        r'detections: 1 .* categories that the .* does not have; category ids: 9',
        {**detection, 'category_id': 9},
    )
    refused(
        r'1 detections lack "segmentation" .*; positions in the list: 0',
        {'image_id': 1, 'category_id': 4, 'score': 1},
    )
    polygon = {**detection, 'segmentation': [[1, 1, 5, 1, 5, 5]]}
    refused('lack an RLE mask of the height and width of their image; positions: 0', polygon)
    refused('lack an RLE mask', {**detection, 'segmentation': rle_of(mask[1:])})
    refused('annotations: 1 images to score are unknown; image ids: 3', image_ids=[1, 3])
    with pytest.raises(ValueError, match='size_bins: expected two or more ascending bounds'):
        MeasureSettings(size_bins=(0, 8, 8))
    del coco['annotations'][0]['segmentation']
    refused('annotations: 1 annotations have no mask')
    with pytest.raises(FileNotFoundError, match='detections not found'):
        measure(coco, tmp_path / 'none.segm.json')
    (tmp_path / 'gt.json').write_text(json.dumps(coco))
    with pytest.raises(ValueError, match=r"extra: expected metric 'segm'"):
        IRCocoMetric(str(tmp_path / 'gt.json'), metric='bbox', extra=['size'])
    with pytest.raises(ValueError, match=r"gt\.json .*, got 'scenario'"):
        IRCocoMetric(str(tmp_path / 'gt.json'), extra=['scenario'])


def test_tool(tmp_path, monkeypatch, capsys):
    coco, detections = random_scenes(7)
    (tmp_path / 'gt.json').write_text(json.dumps(coco))
    (tmp_path / 'run.segm.json').write_text(json.dumps(detections))
    command = [str(TOOL), str(tmp_path / 'gt.json'), str(tmp_path / 'run.segm.json')]

    monkeypatch.setattr(sys, 'argv', [*command, '--out', str(tmp_path / 'out.json'), '--markdown'])
    main = runpy.run_path(str(TOOL))['main']
    main()
    result = json.loads((tmp_path / 'out.json').read_text())
    assert result == measure(coco, detections)
    night = result['scenario']['night']['all']
    printed = capsys.readouterr().out
    assert f'| night | {night["targets"]} | {100 * night["mAP"]:.3f} | {night["Recall"]:.3f} |' in printed
    assert f'{len(detections)} detections in 8 images' in printed

    monkeypatch.setattr(sys, 'argv', [*command, '--only', 'contrast'])
    with pytest.raises(SystemExit, match='2'):
        run_tool(main)
    assert capsys.readouterr().err.startswith('error: extra: contrast is taken from the images')


def test_tool_with_more_targets_than_count(tmp_path, monkeypatch, capsys):
    """A perfect detector of 12 targets in an image: with 11 that count, one is never found; it is told."""
    entries = []
    for number in range(12):
        pixels = np.zeros((40, 480), np.uint8, order='F')
        pixels[10:30, 40 * number : 40 * number + 20] = 1
        mask = mask_utils.encode(pixels)
        entries.append(
            {
                'image_id': 1,
                'category_id': 1,
                'segmentation': {'size': mask['size'], 'counts': mask['counts'].decode()},
            }
        )
    coco = {
        'images': [{'id': 1, 'file_name': 'a.png', 'width': 480, 'height': 40}],
        'categories': [{'id': 1, 'name': 'car'}],
        'annotations': [
            {'id': n, 'bbox': [40 * n, 10, 20, 20], 'area': 400, 'iscrowd': 0, **entry}
            for n, entry in enumerate(entries)
        ],
    }
    (tmp_path / 'gt.json').write_text(json.dumps(coco))
    (tmp_path / 'run.segm.json').write_text(json.dumps([{**entry, 'score': 0.9} for entry in entries]))
    main = runpy.run_path(str(TOOL))['main']
    recalls = {}
    for limit in (11, 12):
        files = [str(tmp_path / 'gt.json'), str(tmp_path / 'run.segm.json'), '--out', str(tmp_path / 'out.json')]
        monkeypatch.setattr(sys, 'argv', [str(TOOL), *files, '--max-dets', str(limit)])
        main()
        told = capsys.readouterr()
        assert ('only the best 11 detections' in told.out + told.err) == (limit == 11)
        recalls[limit] = json.loads((tmp_path / 'out.json').read_text())['masks']['all']['Recall']
    assert recalls == {11: pytest.approx(11 / 12), 12: 1.0}
