import copy

import numpy as np
import pytest
from mmdet.registry import TRANSFORMS
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.registry import init_default_scope
from scipy import ndimage

GROUND, CAR, PERSON = 100, 150, 180


@pytest.fixture(autouse=True)
def scope_and_seed() -> None:
    init_default_scope('mmdet')
    np.random.seed(0)  # noqa: NPY002 (what MMEngine seeds in a worker)


def build(**options):
    return TRANSFORMS.build({'type': 'RandomTargetContrast', 'prob': 1.0, **options})


def scene(dtype: type = np.uint8, channels: int = 3) -> dict:
    """Two cars (label 1) and a person (label 0) on even ground."""
    image = np.full((60, 80), GROUND)
    masks = np.zeros((3, 60, 80), np.uint8)
    for mask, (rows, columns), value in zip(
        masks,
        ((slice(5, 15), slice(5, 25)), (slice(40, 50), slice(50, 70)), (slice(10, 16), slice(60, 64))),
        (CAR, CAR, PERSON),
        strict=True,
    ):
        mask[rows, columns] = 1
        image[rows, columns] = value
    return {
        'img': np.repeat(image.astype(dtype)[..., None], channels, axis=2),
        'gt_masks': BitmapMasks(masks, 60, 80),
        'gt_bboxes_labels': np.array([1, 1, 0]),
        'gt_ignore_flags': np.zeros(3, bool),
    }


def insides(results: dict) -> list[np.ndarray]:
    return [np.unique(results['img'][..., 0][mask > 0]) for mask in results['gt_masks'].masks]


@pytest.mark.parametrize(('inverted', 'expected'), [(0.0, GROUND + 25), (1.0, GROUND - 25)])
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.float32])
def test_the_contrast_of_a_class_is_scaled_about_the_ground(dtype, inverted, expected):
    before = scene(dtype)
    after = build(gain=(0.5, 0.5), inverted=inverted, labels=[1], value_range=(0, 255))(copy.deepcopy(before))
    assert after['img'].dtype == dtype and after['img'].shape == before['img'].shape
    assert (after['img'] == after['img'][..., :1]).all()
    first, second, person = insides(after)
    np.testing.assert_allclose([*first, *second], expected, atol=1e-3)
    assert list(person) == [PERSON]
    for key in ('gt_bboxes_labels', 'gt_ignore_flags'):
        np.testing.assert_array_equal(after[key], before[key])
    np.testing.assert_array_equal(after['gt_masks'].masks, before['gt_masks'].masks)


def test_the_change_fades_within_the_margin():
    """Single warm pixels beside the target: at 1 of 4 pixels 3/4 of the change reaches them, at 4 nothing."""
    results = scene(np.float32, channels=1)
    before = results['img']
    places = {1: (7, 25), 2: (10, 26), 3: (13, 27), 4: (9, 28), 6: (12, 30)}  # the first car ends at column 24
    for place in places.values():
        before[place] = GROUND + 20
    after = build(gain=(0.5, 0.5), inverted=1.0, margin=4, value_range=(0, 255))(copy.deepcopy(results))['img']
    # 20 above the ground becomes 10 below it where all of the change arrives: 30 less
    expected = {1: 120 - 30 * 3 / 4, 2: 120 - 30 / 2, 3: 120 - 30 / 4, 4: 120, 6: 120}
    assert {far: float(after[place][0]) for far, place in places.items()} == pytest.approx(expected)
    distance = ndimage.distance_transform_edt(results['gt_masks'].masks.max(axis=0) == 0)
    assert (after[distance >= 4] == before[distance >= 4]).all()


def test_classes_have_one_factor_in_an_image_and_images_differ():
    seen = set()
    for _ in range(30):
        first, second, person = insides(build()(scene()))
        assert len(first) == 1 and first == second
        seen.add((int(first[0]), int(person[0])))
    cars, people = zip(*seen, strict=True)
    assert min(cars) < GROUND < max(cars) and min(people) < GROUND < max(people)
    cold_beside_warm_people = {car < GROUND for car, person in seen if person > GROUND}
    assert cold_beside_warm_people == {True, False}  # the classes do not hang together
    for values, contrast in ((cars, CAR - GROUND), (people, PERSON - GROUND)):
        share = np.abs(np.array(values) - GROUND) / contrast
        assert share.min() >= 0.4 - 0.02 and share.max() <= 1.3 + 0.02


def test_what_is_left_alone():
    ignored = scene() | {'gt_ignore_flags': np.ones(3, bool)}
    assert (build()(copy.deepcopy(ignored))['img'] == ignored['img']).all()
    assert (build(labels=[5])(scene())['img'] == scene()['img']).all()
    assert (TRANSFORMS.build({'type': 'RandomTargetContrast', 'prob': 0.0})(scene())['img'] == scene()['img']).all()
    empty = scene() | {'gt_masks': BitmapMasks(np.zeros((0, 60, 80), np.uint8), 60, 80)}
    empty |= {'gt_bboxes_labels': np.zeros(0, int), 'gt_ignore_flags': np.zeros(0, bool)}
    assert (build()(empty)['img'] == scene()['img']).all()
    hidden = scene()
    hidden['gt_masks'].masks[2] = 1  # a target all over the image leaves no ground
    assert (build()(hidden)['img'] == scene()['img']).all()


def test_targets_that_overlap_change_once():
    results = scene()
    results['gt_masks'].masks[1] = results['gt_masks'].masks[0]  # the same car twice
    after = build(gain=(0.5, 0.5), inverted=1.0, labels=[1])(results)
    assert list(insides(after)[0]) == [GROUND - 25]


def test_polygons_and_bitmaps_are_the_same():
    bitmaps, polygons = scene(), scene()
    polygons['gt_masks'] = PolygonMasks(
        [
            [np.array(p, float)]
            for p in ([5, 5, 25, 5, 25, 15, 5, 15], [50, 40, 70, 40, 70, 50, 50, 50], [60, 10, 64, 10, 64, 16, 60, 16])
        ],
        60,
        80,
    )
    both = []
    for results in (bitmaps, polygons):
        np.random.seed(3)  # noqa: NPY002
        both.append(build()(results)['img'])
    np.testing.assert_array_equal(*both)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'gain': (0, 1)}, 'expected gain=.*got'),
        ({'inverted': 1.5}, 'expected inverted from 0 to 1, got 1.5'),
        ({'margin': 0}, 'expected margin of at least 1, got 0'),
        ({'labels': ['car']}, r"expected labels as indices of classes, e.g. \[1, 2\], got \['car'\]"),
        ({'labels': 'car'}, "expected labels as indices of classes, .*got 'car'"),
        ({'labels': 1}, 'expected labels as indices of classes, .*got 1'),
        ({'labels': [-1]}, 'expected labels as indices of classes'),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=f'RandomTargetContrast: {message}'):
        build(**options)


def test_masks_are_needed():
    results = scene() | {'img_path': 'a.png'}
    del results['gt_masks']
    with pytest.raises(
        ValueError, match=r"image a.png: expected boxes and masks, \['gt_masks'\] missing; put LoadAnn"
    ):
        build()(results)
