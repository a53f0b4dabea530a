from mmdet_ir.benchmark.coco_backends import as_table, benchmark_backends, generate_masks

import numpy as np
from pycocotools import mask as mask_utils


def test_masks_are_as_asked_for_and_reproducible():
    coco, detections = generate_masks(130, 4, 3, (60, 40), seed=1)
    assert (coco, detections) == generate_masks(130, 4, 3, (60, 40), seed=1)
    assert detections != generate_masks(130, 4, 3, (60, 40), seed=2)[1]
    assert np.bincount([d['image_id'] for d in detections]).tolist() == [0, 32, 33, 33, 32]
    assert {d['category_id'] for d in detections} <= {1, 2, 3} == {a['category_id'] for a in coco['annotations']}
    for entry in coco['annotations'] + detections:
        mask = mask_utils.decode(entry['segmentation'])
        assert mask.shape == (40, 60)
        assert 'area' not in entry or entry['area'] == mask.sum()


def test_both_libraries_are_measured_and_compared():
    coco, detections = generate_masks(120, 4, 2, (80, 60), seed=0)
    result = benchmark_backends(coco, detections, repeats=2)
    assert list(result) == ['segm', 'bbox']
    for row in result.values():
        fast, slow = row['seconds'].values()
        assert row['ratio'] == slow / fast
        assert 0.05 < row['mAP'] < 0.95 and row['max_difference'] <= 2**-52
    lines = as_table(result).splitlines()
    assert lines[0] == '|  | faster-coco-eval, s | pycocotools, s | ratio | largest difference |'
    assert lines[2].startswith(f'| masks | {result["segm"]["seconds"]["faster-coco-eval"]:.2f} |')
