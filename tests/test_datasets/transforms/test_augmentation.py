import copy
import itertools
from pathlib import Path

from mmdet_ir.datasets.synthetic import synthesize

import mmcv
import numpy as np
import pytest
import torch
from mmcv.transforms.utils import cache_random_params
from mmdet.registry import DATASETS, TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.config import Config
from mmengine.registry import init_default_scope
from scipy import ndimage

CONFIG = Path(__file__).parents[3] / 'configs/quickstart/mask_rcnn_bnsa_focalsiou_mbcedicels_synthetic_ir-aug.py'
PIXEL = ['RandomGainOffset', 'RandomPolarity', 'SensorNoise', 'DeadPixels', 'OpticsBlur', 'Vignetting']
STRONG = {  # so that every image changes
    'RandomGainOffset': {'gain': (1.5, 2.0), 'offset': (0.1, 0.2)},
    'SensorNoise': {'temporal': (0.1, 0.2)},
    'DeadPixels': {'fraction': (0.05, 0.1)},
    'OpticsBlur': {'sigma': (1.0, 2.0)},
    'Vignetting': {'strength': (0.3, 0.5), 'drift': (0.1, 0.2)},
}
FORMATS = {
    'uint8': (np.uint8, None, 255),
    '14 bit': (np.uint16, (0, 16383), 16383),
    '16 bit': (np.uint16, (0, 65535), 65535),
    'float': (np.float32, (0, 1), 1),
}


@pytest.fixture(autouse=True)
def scope_and_seed() -> None:
    init_default_scope('mmdet')
    np.random.seed(0)  # noqa: NPY002 (what MMEngine seeds in a worker)


def build(name: str, **options):
    return TRANSFORMS.build({'type': name, 'prob': 1.0, **options})


def run(image: np.ndarray, name: str, **options) -> np.ndarray:
    return build(name, **options)({'img': image.copy()})['img']


def noise_image(dtype: type, top: float, channels: int = 3, size: tuple[int, int] = (24, 32)) -> np.ndarray:
    values = np.random.default_rng(1).uniform(0, top, size)
    values[0, :2] = 0, top
    return np.repeat(values.astype(dtype)[..., None], channels, axis=2)


# What all of them promise


@pytest.mark.parametrize('name', PIXEL)
@pytest.mark.parametrize('kind', FORMATS)
def test_dtype_range_and_channels_are_kept(name: str, kind: str) -> None:
    dtype, value_range, top = FORMATS[kind]
    image = noise_image(dtype, top)
    state = np.random.get_state()  # noqa: NPY002
    changed = run(image, name, value_range=value_range, **STRONG.get(name, {}))
    assert changed.dtype == dtype and changed.shape == image.shape and changed.flags.c_contiguous
    assert (changed != image).any() and np.array_equal(changed[..., 0], changed[..., 1])
    assert np.array_equal(changed[..., 0], changed[..., 2])
    assert changed.min() >= 0 and changed.max() <= top
    assert changed.max() > 0.6 * top  # neither clipped at 255 nor wrapped around
    for single in (image[..., :1], image[..., 0]):
        np.random.set_state(state)  # noqa: NPY002
        assert np.array_equal(
            run(single, name, value_range=value_range, **STRONG.get(name, {})).squeeze(), changed[..., 0]
        )


@pytest.mark.parametrize('name', PIXEL)
def test_annotations_stay_and_the_seed_decides(name: str) -> None:
    transform = build(name, **STRONG.get(name, {}))
    results = sample(targets=[(5, 6, 4, 3)])

    def once(seed: int) -> dict:
        np.random.seed(seed)  # noqa: NPY002
        return transform(copy.deepcopy(results))

    first, again, other = once(1), once(1), once(2)
    assert np.array_equal(first['img'], again['img'])
    assert name in ('RandomPolarity', 'OpticsBlur') or not np.array_equal(first['img'], other['img'])
    for key in set(results) - {'img'}:
        same = results[key].tensor if key == 'gt_bboxes' else results[key]
        after = first[key].tensor if key == 'gt_bboxes' else first[key]
        assert np.array_equal(getattr(same, 'masks', same), getattr(after, 'masks', after))
    with cache_random_params(transform):  # as wrappers do that treat several images alike
        assert np.array_equal(transform(copy.deepcopy(results))['img'], transform(copy.deepcopy(results))['img'])


def test_probability_of_acting() -> None:
    """300 draws at 0.3: 90 expected, standard deviation 7.9."""
    transform = TRANSFORMS.build({'type': 'RandomPolarity', 'prob': 0.3})
    image = np.zeros((2, 2), np.uint8)
    acted = sum(int(transform({'img': image})['img'][0, 0] == 255) for _ in range(300))
    assert 60 < acted < 120
    assert (TRANSFORMS.build({'type': 'RandomPolarity', 'prob': 0.0})({'img': image})['img'] == 0).all()


def test_range_of_the_image_itself() -> None:
    """Counts of a raw frame fill a small part of 14 bits: 5000..5400 is inverted within itself."""
    image = np.array([[5000, 5100], [5399, 5400]], np.uint16)
    assert run(image, 'RandomPolarity', value_range='image').tolist() == [[5400, 5300], [5001, 5000]]
    flat = np.full((4, 4), 7000, np.uint16)
    assert np.array_equal(run(flat, 'SensorNoise', value_range='image', temporal=(0.5, 0.5)), flat)


@pytest.mark.parametrize(
    ('image', 'value_range', 'error', 'message'),
    [
        (np.zeros((4, 4), np.uint16), None, ValueError, r'x.png: expected value_range=.*uint16.*14-bit'),
        (np.zeros((4, 4), np.float32), None, ValueError, r'x.png: expected value_range=.*float32'),
        (np.full((4, 4), 16384, np.uint16), (0, 16383), ValueError, r'x.png: .*\(0.0, 16383.0\), got 16384 to 16384'),
        (np.full((4, 4), np.nan, np.float32), (0, 1), ValueError, 'x.png: .*got nan to nan'),
        (np.full((4, 4), np.nan, np.float32), 'image', ValueError, 'x.png: .*got nan to nan'),
        (np.zeros((4, 4), np.int64), (0, 1), TypeError, 'x.png: expected uint8, uint16 or float32, got int64'),
        (np.arange(48, dtype=np.uint8).reshape(4, 4, 3), None, ValueError, 'x.png: expected grey values'),
        (np.zeros((4, 4, 4), np.uint8), None, ValueError, r'x.png: expected shape .* got \(4, 4, 4\)'),
    ],
)
def test_images_that_do_not_fit_are_named(image, value_range, error, message) -> None:
    with pytest.raises(error, match=message):
        build('RandomPolarity', value_range=value_range)({'img': image, 'img_path': 'x.png'})


@pytest.mark.parametrize(
    ('name', 'options', 'message'),
    [
        ('RandomPolarity', {'prob': 1.5}, 'RandomPolarity: expected prob from 0 to 1, got 1.5'),
        ('RandomPolarity', {'value_range': 'auto'}, 'expected value_range "image" or a pair, got \'auto\''),
        ('RandomPolarity', {'value_range': (5, 5)}, 'low < high'),
        ('RandomGainOffset', {'gain': (0, 1)}, r'RandomGainOffset: expected gain=\(a, b\)'),
        ('RandomGainOffset', {'offset': (0.2, 0.1)}, r'expected offset=\(a, b\) .*got \(0.2, 0.1\)'),
        ('SensorNoise', {'row': (-0.1, 0.1)}, r'expected row=\(a, b\) with 0 <= a <= b <= 1'),
        ('DeadPixels', {'fraction': (0, 2)}, 'expected fraction'),
        ('OpticsBlur', {'sigma': (0, 1)}, 'expected sigma'),
        ('Vignetting', {'strength': (0, 0.1, 0.2)}, 'expected strength'),
        ('TargetCopyPaste', {'margin': 1}, 'expected margin of at least 2, got 1'),
    ],
)
def test_wrong_arguments(name, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        build(name, **options)


# Each of them


def test_gain_and_offset_by_hand() -> None:
    """Mean 100; twice the contrast gives -20, 100, 180, 140, a tenth of 255 is added, and the ends are clipped."""
    image = np.array([[40, 100], [140, 120]], np.uint8)
    changed = run(image, 'RandomGainOffset', gain=(2, 2), offset=(0.1, 0.1))
    assert changed.tolist() == [[6, 126], [206, 166]]  # 5.5, 125.5, 205.5, 165.5: to even
    assert run(image, 'RandomGainOffset', gain=(2, 2), offset=(0.4, 0.4)).tolist() == [[82, 202], [255, 242]]
    counts = np.array([[4000, 10000], [14000, 12000]], np.uint16)
    changed = run(counts, 'RandomGainOffset', gain=(0.5, 0.5), offset=(-0.25, -0.25), value_range=(0, 16000))
    assert changed.tolist() == [[3000, 6000], [8000, 7000]]


def test_gains_are_as_often_below_one_as_above() -> None:
    image = np.array([[0.4, 0.6]], np.float32)
    transform = build('RandomGainOffset', gain=(0.5, 2), offset=(0, 0), value_range=(0, 1))
    gains = [float(np.ptp(transform({'img': image.copy()})['img'])) / 0.2 for _ in range(400)]
    assert 0.5 <= min(gains) < 0.6 and 1.8 < max(gains) <= 2.0001
    assert abs(np.mean(np.array(gains) < 1) - 0.5) < 0.08  # standard deviation 0.025


def test_polarity_twice_is_identity() -> None:
    for dtype, value_range, top in list(FORMATS.values())[:3]:
        image = noise_image(dtype, top)
        once = run(image, 'RandomPolarity', value_range=value_range)
        assert np.array_equal(once[..., 0], top - image[..., 0].astype(int))
        assert np.array_equal(run(once, 'RandomPolarity', value_range=value_range), image)
    image = noise_image(np.uint8, 255)
    assert np.array_equal(run(image, 'RandomPolarity'), mmcv.iminvert(image))


def test_noise_statistics() -> None:
    """Each part alone, on a flat image in the middle of the range, with a standard deviation of 0.02 of it."""
    size, off = (200, 300), {'temporal': (0, 0), 'column': (0, 0), 'row': (0, 0)}
    flat = np.full(size, 0.5, np.float32)

    def added(**on) -> np.ndarray:
        return run(flat, 'SensorNoise', value_range=(0, 1), **off | on) - flat

    temporal = added(temporal=(0.02, 0.02))
    assert temporal.std() == pytest.approx(0.02, rel=0.02) and abs(temporal.mean()) < 5e-4
    assert temporal.mean(axis=0).std() == pytest.approx(0.02 / np.sqrt(200), rel=0.25)  # independent along a column
    neighbours = np.corrcoef(temporal[:, 1:].ravel(), temporal[:, :-1].ravel())[0, 1]
    assert abs(neighbours) < 0.02
    column = added(column=(0.02, 0.02))
    assert (column == column[:1]).all() and column[0].std() == pytest.approx(0.02, rel=0.15)
    row = added(row=(0.02, 0.02))
    assert (row == row[:, :1]).all() and row[:, 0].std() == pytest.approx(0.02, rel=0.2)
    counts = np.full(size, 8000, np.uint16)
    noisy = run(counts, 'SensorNoise', value_range=(0, 16383), **off | {'temporal': (0.02, 0.02)})
    assert noisy.astype(float).std() == pytest.approx(0.02 * 16383, rel=0.02)


def test_dead_and_hot_pixels() -> None:
    image = np.full((100, 200), 9000, np.uint16)
    changed = run(image, 'DeadPixels', fraction=(0.01, 0.01), value_range=(100, 16383))
    values, counts = np.unique(changed, return_counts=True)
    assert values.tolist() == [100, 9000, 16383] and counts[0] + counts[2] == 200
    assert 65 < counts[0] < 135  # binomial: 100, standard deviation 7


def test_blur_equals_scipys() -> None:
    image = np.random.default_rng(0).uniform(0, 16383, (40, 50)).astype(np.float32)
    changed = run(image, 'OpticsBlur', sigma=(1.3, 1.3), value_range=(0, 16383))
    # OpenCV's kernel ends at 5 pixels for this sigma, SciPy's as well with truncate=4
    expected = ndimage.gaussian_filter(image.astype(float), 1.3, mode='reflect', truncate=4)
    np.testing.assert_allclose(changed, expected, atol=0.05)


def test_vignetting_by_hand() -> None:
    """Corners lose a quarter of their signal above the low end, edges' middles half of that, the centre nothing."""
    image = np.full((3, 5), 180, np.float32)
    shaded = run(image, 'Vignetting', strength=(0.25, 0.25), drift=(0, 0), value_range=(100, 200))
    assert shaded[[0, 0, 2, 2], [0, 4, 0, 4]].tolist() == [160] * 4
    assert shaded[0, 2] == shaded[1, 0] == 170 and shaded[1, 2] == 180
    assert shaded[1, 1] == 177.5  # a quarter of the squared half-width away
    sloped = run(image, 'Vignetting', strength=(0, 0), drift=(0.1, 0.1), value_range=(100, 200)) - 180
    np.testing.assert_allclose(np.diff(sloped, 2, axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(np.diff(sloped, 2, axis=1), 0, atol=1e-4)
    np.testing.assert_allclose(np.abs(sloped).max(), 10, rtol=1e-5)
    np.testing.assert_allclose(sloped, -sloped[::-1, ::-1], atol=1e-4)


# Copy-paste


def sample(
    targets=(), size=(48, 64), level=100, contrast=60, dtype=np.uint8, ignored=(), polygons=False, spread=0.0
) -> dict:
    """A level with targets (x, y, width, height), each a step of ``contrast`` with a corner pixel missing."""
    height, width = size
    image = np.full(size, level, float) + np.random.default_rng(3).normal(0, spread, size)
    masks = np.zeros((len(targets), height, width), np.uint8)
    for mask, (x, y, w, h) in zip(masks, targets, strict=True):
        mask[y : y + h, x : x + w] = 1
        mask[y, x] = 0
    image[masks.any(axis=0)] += contrast
    boxes = torch.tensor([[x, y, x + w, y + h] for x, y, w, h in targets], dtype=torch.float32).reshape(-1, 4)
    if polygons:
        outlines = [[np.array([x, y, x + w, y, x + w, y + h, x, y + h], float)] for x, y, w, h in targets]
        instances = PolygonMasks(outlines, height, width)
    else:
        instances = BitmapMasks(masks, height, width)
    return {
        'img': np.repeat(np.rint(image).astype(dtype)[..., None], 3, axis=2),
        'gt_bboxes': HorizontalBoxes(boxes),
        'gt_bboxes_labels': np.arange(len(targets), dtype=np.int64),
        'gt_masks': instances,
        'gt_ignore_flags': np.array([i in ignored for i in range(len(targets))], dtype=bool),
    }


def box_of(mask: np.ndarray) -> list[float]:
    """Tight box of a mask, pixel by pixel."""
    pixels = [(x, y) for y in range(mask.shape[0]) for x in range(mask.shape[1]) if mask[y, x]]
    xs, ys = [p[0] for p in pixels], [p[1] for p in pixels]
    return [min(xs), min(ys), max(xs) + 1, max(ys) + 1]


SOURCES = [(8, 8, 6, 4), (30, 10, 5, 7), (12, 30, 4, 4)]


@pytest.mark.parametrize('seed', range(8))
def test_pasted_targets_agree_with_their_annotations(seed: int) -> None:
    """Another image, 50 levels brighter: contrast 60 stays, and all else is background or what was there."""
    np.random.seed(seed)  # noqa: NPY002
    source, before = sample(SOURCES, level=100), sample([(20, 20, 10, 8)], level=150, size=(60, 50))
    after = build('TargetCopyPaste')(copy.deepcopy(before) | {'mix_results': [copy.deepcopy(source)]})
    masks, boxes, labels = after['gt_masks'].masks, after['gt_bboxes'].tensor.numpy(), after['gt_bboxes_labels']
    assert 2 <= len(masks) == len(boxes) == len(labels) == len(after['gt_ignore_flags']) <= 4
    assert after['img'].dtype == np.uint8 and masks.shape[1:] == (60, 50) and masks.dtype == np.uint8
    assert labels.dtype == np.int64 and not after['gt_ignore_flags'].any() and len(set(labels[1:])) == len(masks) - 1
    assert np.array_equal(masks[0], before['gt_masks'].masks[0]) and boxes[0].tolist() == [20, 20, 30, 28]
    assert masks.sum(axis=0).max() == 1  # nothing overlaps
    inside = masks.any(axis=0)
    assert (after['img'][inside] == 210).all()
    assert (after['img'][~inside] == 150).all()  # the seam's background fits as well
    for mask, box, label in zip(masks[1:], boxes[1:], labels[1:], strict=True):
        x, y, w, h = SOURCES[label]
        left, top, right, bottom = box_of(mask)
        assert box.tolist() == [left, top, right, bottom]
        assert np.array_equal(
            mask[top:bottom, left:right], source['gt_masks'].masks[label][y : y + h, x : x + w]
        )  # (the missing corner, too)


def test_contrast_in_14_bits_and_noise() -> None:
    """Inside the mask the source's own pixels, shifted by the difference of the levels around, as counted here."""
    source = sample(SOURCES[:1], level=5000, contrast=700, dtype=np.uint16, spread=30)
    target = sample([], level=6500, dtype=np.uint16, spread=30, size=(64, 64))
    transform = build('TargetCopyPaste', value_range=(0, 16383), margin=4)
    after = transform(copy.deepcopy(target) | {'mix_results': [copy.deepcopy(source)]})
    x, y, w, h = SOURCES[0]
    left, top, right, bottom = box_of(after['gt_masks'].masks[0])
    own = source['img'][y : y + h, x : x + w, 0].astype(int)
    pasted = after['img'][top:bottom, left:right, 0].astype(int)
    mask = after['gt_masks'].masks[0][top:bottom, left:right].astype(bool)
    shift = (pasted - own)[mask]
    assert np.ptp(shift) == 0  # up to the same shift the same pixels
    levels = []
    for image, (column, row) in ((source['img'], (x, y)), (target['img'], (left, top))):
        around = image[row - 4 : row + h + 4, column - 4 : column + w + 4, 0].astype(float)
        distance = np.ones(around.shape, bool)
        distance[4:-4, 4:-4] = ~mask
        away = ndimage.distance_transform_edt(distance)
        levels.append(np.median(around[away > 2]))
    assert abs(shift[0] - (levels[1] - levels[0])) <= 0.5
    changed = np.argwhere(after['img'][..., 0] != target['img'][..., 0])
    assert changed.min(axis=0)[0] >= top - 4 and changed.max(axis=0)[0] < bottom + 4
    assert changed.min(axis=0)[1] >= left - 4 and changed.max(axis=0)[1] < right + 4


def test_the_place_that_looks_most_like_the_source() -> None:
    """Half of the image is as warm as the source's background, half much colder; all 16 places cannot miss it."""
    source, target = sample(SOURCES[:1], level=150), sample([], level=40)
    target['img'][:, 32:] = 150
    for _ in range(5):
        after = build('TargetCopyPaste')(copy.deepcopy(target) | {'mix_results': [copy.deepcopy(source)]})
        left, _, right, _ = box_of(after['gt_masks'].masks[0])
        assert left - 4 >= 32 and right <= 60


@pytest.mark.parametrize(('left_level', 'pasted'), [(72, True), (68, False)])
def test_no_place_on_a_strong_edge(left_level: int, pasted: bool) -> None:
    """One place, whose left part differs from its median, 100, by just less or more than half of the contrast, 60."""
    x, y, w, h = SOURCES[0]
    target = sample([], size=(h + 8, w + 8))
    target['img'][:, :5] = left_level
    after = build('TargetCopyPaste')(target | {'mix_results': [sample(SOURCES[:1])]})
    assert len(after['gt_masks']) == pasted


def test_fading_across_the_margin() -> None:
    """By hand, 0 to 4 pixels off the mask: 1, 27/32, 1/2, 5/32, 0 of the source's deviation from its background."""
    source, level = sample(SOURCES[:1], level=5000, contrast=700, dtype=np.uint16, spread=200), 6000
    target = sample([], level=level, dtype=np.uint16)
    transform = build('TargetCopyPaste', value_range=(0, 16383), margin=4)
    after = transform(target | {'mix_results': [copy.deepcopy(source)]})
    mask = after['gt_masks'].masks[0]
    left, top, _, _ = box_of(mask)
    dx, dy = left - SOURCES[0][0], top - SOURCES[0][1]
    shift = int(after['img'][top + 1, left + 1, 0]) - int(source['img'][top - dy + 1, left - dx + 1, 0])
    points = np.argwhere(mask)
    for (row, column), value in np.ndenumerate(after['img'][..., 0]):
        distance = min(np.hypot(*(point - (row, column))) for point in points)
        if distance >= 4:
            assert value == level
        else:
            t = 1 - distance / 4
            share = {0: 1, 1: 27 / 32, 2: 1 / 2, 3: 5 / 32}.get(distance, 3 * t * t - 2 * t**3)
            expected = level + share * (int(source['img'][row - dy, column - dx, 0]) + shift - level)
            assert abs(value - expected) <= 1  # rounding of the shift and of the result


def test_pasted_targets_do_not_overlap_each_other() -> None:
    """Three windows of 12 x 12 on 26 x 26 pixels: at random they would meet in nearly every image."""
    source, target = sample([(6, 6, 4, 4), (20, 20, 4, 4), (40, 30, 4, 4)]), sample([], size=(26, 26))
    numbers = []
    for _ in range(20):
        after = build('TargetCopyPaste')(copy.deepcopy(target) | {'mix_results': [copy.deepcopy(source)]})
        corners = after['gt_bboxes'].tensor[:, :2]
        for i, j in itertools.combinations(range(len(corners)), 2):
            assert (corners[i] - corners[j]).abs().max() >= 12
        numbers.append(len(corners))
    assert max(numbers) >= 2


def test_masks_that_stick_out_of_their_boxes() -> None:
    """The whole mask is moved and kept clear of, though the box says less; the box is moved as it is."""
    source = sample([(10, 10, 20, 8)])
    source['gt_bboxes'].tensor[:] = torch.tensor([20.5, 14.25, 28, 18])
    after = build('TargetCopyPaste')(sample([], size=(40, 40)) | {'mix_results': [copy.deepcopy(source)]})
    left, top, right, bottom = box_of(after['gt_masks'].masks[0])
    assert (right - left, bottom - top) == (20, 8) and after['gt_masks'].masks.sum() == 159
    assert after['gt_bboxes'].tensor[0].tolist() == [left + 10.5, top + 4.25, left + 18, top + 8]
    source = sample([(0, 10, 20, 8)])  # at the border, as the mask tells
    source['gt_bboxes'].tensor[:] = torch.tensor([10, 14, 18, 18])
    assert len(build('TargetCopyPaste')(sample([]) | {'mix_results': [source]})['gt_masks']) == 0
    taken = sample([(2, 0, 60, 48)])  # masks leave no room, boxes would
    taken['gt_bboxes'].tensor[:] = torch.tensor([40, 40, 42, 42])
    assert len(build('TargetCopyPaste')(taken | {'mix_results': [sample(SOURCES)]})['gt_masks']) == 1


def test_same_image_and_polygons() -> None:
    before = sample([(20, 20, 6, 4)], polygons=True)
    after = build('TargetCopyPaste')(copy.deepcopy(before))
    (first,), (second,) = after['gt_masks'].masks
    move = after['gt_bboxes'].tensor[1] - after['gt_bboxes'].tensor[0]
    assert np.array_equal(first, before['gt_masks'].masks[0][0])
    assert np.array_equal(second.reshape(-1, 2) - first.reshape(-1, 2), np.tile(move[:2].numpy(), (4, 1)))
    assert after['gt_bboxes_labels'].tolist() == [0, 0]
    left, top, right, bottom = after['gt_bboxes'].tensor[1].int().tolist()
    expected = before['img'][20:24, 20:26]
    assert np.array_equal(after['img'][top:bottom, left:right], expected)


@pytest.mark.parametrize(
    'source',
    [
        {'targets': []},
        {'targets': [(0, 8, 6, 4)]},  # cut off by the border, perhaps
        {'targets': [(20, 20, 6, 4)], 'ignored': [0]},
        {'targets': [(10, 10, 6, 4), (18, 10, 6, 4)]},  # neighbours within the margin
        {'targets': [(8, 8, 30, 30)]},  # 899 pixels
        {'targets': [(20, 20, 6, 4)], 'level': 10, 'contrast': 240},  # 240 above 100 does not fit in 255
        {'targets': [(20, 20, 6, 4)], 'level': 240, 'contrast': -200},  # nor 200 below
        {'targets': [(6, 6, 50, 4)]},  # no room for 58 columns
    ],
)
def test_nothing_suitable_changes_nothing(source: dict) -> None:
    before = sample([(20, 20, 6, 4)], size=(48, 50))
    transform = build('TargetCopyPaste', max_area=400)
    after = transform(copy.deepcopy(before) | {'mix_results': [sample(**source)]})
    assert np.array_equal(after['img'], before['img'])
    assert len(after['gt_masks']) == len(after['gt_bboxes']) == len(after['gt_bboxes_labels']) == 1


def test_no_room_between_targets() -> None:
    """Boxes count as taken even where their masks are empty, ignored regions as well."""
    crowd = sample([(0, 0, 64, 20), (0, 28, 64, 20)], ignored=[0, 1])
    crowd['gt_masks'].masks[:] = 0
    crowd['img'][:] = 100
    after = build('TargetCopyPaste')(copy.deepcopy(crowd) | {'mix_results': [sample(SOURCES[:1])]})
    assert len(after['gt_masks']) == 2 and (after['img'] == 100).all()


def test_copy_paste_into_an_empty_image_and_missing_masks() -> None:
    after = build('TargetCopyPaste')(sample([]) | {'mix_results': [sample(SOURCES[:1])]})
    assert len(after['gt_masks']) == 1 and after['gt_bboxes_labels'].dtype == np.int64
    boxes_only = sample(SOURCES)
    del boxes_only['gt_masks']
    with pytest.raises(ValueError, match=r"b.png: expected boxes and masks, \['gt_masks'\] missing; put LoadAnn"):
        build('TargetCopyPaste')(sample([]) | {'mix_results': [boxes_only | {'img_path': 'b.png'}]})
    counts = sample(SOURCES, dtype=np.uint16)
    with pytest.raises(TypeError, match='expected uint8 as in the image to paste on, .*, got uint16'):
        build('TargetCopyPaste')(sample([]) | {'mix_results': [counts]})


def test_config_builds_its_data_set(tmp_path: Path) -> None:
    """Every augmentation is on; a sample has boxes that its masks confirm, and the seed decides what it looks like."""
    root = tmp_path / 'set'
    synthesize(root, num_train=6, num_val=1, size=(160, 128), seed=0, workers=1, counts=False)
    config = Config.fromfile(CONFIG)
    wrapper = config.train_dataloader.dataset
    assert {t.type for t in wrapper.pipeline} == {*PIXEL, 'TargetCopyPaste', 'PackDetInputs'}
    wrapper.dataset.data_root = str(root)
    for transform in wrapper.pipeline[:-1]:
        transform.prob = 1.0
    dataset = DATASETS.build(wrapper)

    def read(seed: int) -> list[dict]:
        np.random.seed(seed)  # noqa: NPY002
        return [dataset[i] for i in range(len(dataset))]

    items, again = read(5), read(5)
    assert all(torch.equal(a['inputs'], b['inputs']) for a, b in zip(items, again, strict=True))
    originals = [len(dataset.dataset.get_data_info(i)['instances']) for i in range(6)]
    found = [item['data_samples'].gt_instances for item in items]
    assert all(len(instances) >= n for instances, n in zip(found, originals, strict=True))
    assert sum(map(len, found)) > sum(originals)
    for item, instances in zip(items, found, strict=True):
        assert item['inputs'].shape == (3, 256, 320) and item['inputs'].dtype == torch.uint8
        for mask, box in zip(instances.masks.masks, instances.bboxes.tensor, strict=True):
            np.testing.assert_allclose(box_of(mask), box.numpy(), atol=2)  # enlarged twofold: to the nearest pixel
