"""Tone mappings against hand-made numbers, slow loops, NumPy and OpenCV."""

import tracemalloc
from fractions import Fraction

from mmdet_ir.datasets.images.values import count_levels
from mmdet_ir.datasets.synthetic import generate_scene, stretch
from mmdet_ir.datasets.transforms import ToneMapping
from mmdet_ir.datasets.transforms.tone_mapping import METHODS, level_table, tone_map

import cv2
import numpy as np
import pytest
from mmengine.logging import MMLogger

GLOBAL = {'linear': {}, 'window': {'low': 7200, 'high': 7500}, 'percentile': {}, 'plateau': {}}
ALL = GLOBAL | {'clahe': {}, 'detail': {}}


@pytest.fixture(scope='module')
def scene() -> np.ndarray:
    """14-bit counts, uint16 [96, 128]."""
    return generate_scene(3, size=(128, 96)).counts


def row(*values: float, dtype: type = np.uint16) -> np.ndarray:
    return np.array([values], dtype)


def test_linear_by_hand() -> None:
    # 255 / (1100 - 100) = 0.255 a count: 300 -> 51, 600 -> 127.5 -> 128 (to even), 601 -> 127.755
    assert tone_map(row(100, 300, 600, 601, 1100), 'linear').tolist() == [[0, 51, 128, 128, 255]]
    assert tone_map(row(-10, 10, 30, dtype=np.float32), 'linear').tolist() == [[0, 128, 255]]


def test_window_by_hand() -> None:
    assert tone_map(row(0, 999, 1000, 1100, 1500, 1501, 65535), 'window', low=1000, high=1500).tolist() == [
        [0, 0, 0, 51, 255, 255, 255]
    ]
    assert tone_map(row(0, 10, 20, dtype=np.uint8), 'window', low=-10, high=500).tolist() == [[5, 10, 15]]
    assert tone_map(row(0, 300), 'window', low=70000, high=80000).tolist() == [[0, 0]]
    assert tone_map(row(0, 300), 'window', low=-20, high=-10).tolist() == [[255, 255]]
    assert tone_map(row(-20, 20, 60, 90, dtype=np.float32), 'window', low=-20, high=60).tolist() == [
        [0, 128, 255, 255]
    ]


@pytest.mark.parametrize(
    ('kelvin_per_count', 'counts'), [(0.04, (6000, 7000, 7329, 8000, 8329)), (0.4, (600, 700, 733, 800, 833))]
)
def test_temperatures_by_hand(kelvin_per_count: float, counts: tuple) -> None:
    """T-linear: 7000 * 0.04 - 273.15 = 6.85 degrees; (6.85 + 10) / 70 * 255 = 61.38."""
    got = tone_map(row(*counts), 'window', low=-10, high=60, kelvin_per_count=kelvin_per_count)
    celsius = [count * kelvin_per_count - 273.15 for count in counts]
    assert got.tolist() == [[min(max(round((t + 10) / 70 * 255), 0), 255) for t in celsius]]
    assert got[0, 1] == 61 and got[0, 0] == 0 and got[0, 4] == 255


@pytest.mark.parametrize('settings', [{'low': 7000, 'high': 9000}, {'low': -10, 'high': 60, 'kelvin_per_count': 0.04}])
def test_eight_bits_in_a_window_of_counts_are_refused(settings: dict) -> None:
    """All of them would be black: 255 counts are -263 degrees."""
    mapping = ToneMapping('window', **settings)
    low = '7000' if 'kelvin_per_count' not in settings else '6578.75'
    with pytest.raises(ValueError, match=rf'image day/a8\.png: expected counts, .* {low} to .*, got 8 bits'):
        mapping({'img': row(0, 128, 255, dtype=np.uint8), 'img_path': 'day/a8.png'})
    with pytest.raises(ValueError, match=r'image day/a8\.tiff: expected counts, .* got 8 bits'):
        mapping.table(np.bincount([0, 128, 255], minlength=256), 'day/a8.tiff')
    floats = {'img': row(0, 128, 255, dtype=np.float32), 'img_path': 'a8.png', 'stored_dtype': np.dtype('uint8')}
    with pytest.raises(ValueError, match=r'image a8\.png: expected counts, .* got 8 bits'):  # behind to_float32
        mapping(floats)
    kelvin = ToneMapping('window', channels=1, low=290, high=320)  # of a transform that made temperatures of 8 bits
    assert kelvin(floats | {'img': row(290, 305, 320, dtype=np.float32)})['img'].tolist() == [[0, 128, 255]]
    narrow = ToneMapping('window', channels=1, low=-10, high=500)
    assert narrow({'img': row(0, 10, 20, dtype=np.uint8)})['img'].tolist() == [[5, 10, 15]]


def test_an_image_outside_of_the_window_is_told_once_for_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'warning', said.append)
    mapping = ToneMapping('window', low=-10, high=60)  # of degrees, not of counts
    for name in ('told/a.png', 'told/b.png', 'told_too/a.png'):
        mapping({'img': row(7000, 8000), 'img_path': name})
    mapping({'img': row(20, 8000), 'img_path': 'neither/a.png'})
    ToneMapping('window', low=7000, high=9000).table(np.bincount([3, 9], minlength=65536), 'parts/a.tiff')
    ToneMapping('linear')({'img': row(7, 7), 'img_path': 'flat/a.png'})
    assert [line.partition(', so')[0] for line in said] == [
        'image told/a.png: all values are above the window of the tone mapping, -10 to 60',
        'image told_too/a.png: all values are above the window of the tone mapping, -10 to 60',
        'image parts/a.tiff: all values are below the window of the tone mapping, 7000 to 9000',
    ]


def test_known_percentiles() -> None:
    values = np.random.default_rng(0).permutation(1001).reshape(7, 143)
    # the percentile p of 0..1000 is 10 p: 5 -> 0, 995 -> 255
    expected = [[min(max(round((v - 5) * 255 / 990), 0), 255) for v in line] for line in values.tolist()]
    for dtype in (np.uint16, np.float32):
        assert tone_map(values.astype(dtype), 'percentile', low=0.5, high=99.5).tolist() == expected


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(('low', 'high'), [(0, 100), (0.5, 99.7), (2, 50), (33.3, 66.6)])
def test_percentiles_are_numpys(scene: np.ndarray, dtype: type, low: float, high: float) -> None:
    image = (scene >> 5 if dtype == np.uint8 else scene).astype(dtype)
    bottom, top = np.percentile(image.astype(np.float64), [low, high])
    expected = np.clip(np.rint((image - bottom) * 255 / (top - bottom)), 0, 255)
    difference = np.abs(tone_map(image, 'percentile', low=low, high=high) - expected)
    assert difference.max() <= 1 and (difference > 0).mean() < 0.005  # rounding of halves, in float32


def test_percentiles_give_the_cameras_picture(scene: np.ndarray) -> None:
    np.testing.assert_array_equal(tone_map(scene, 'percentile'), stretch(scene))


@pytest.mark.parametrize('method', ['percentile', 'linear', 'plateau', 'clahe', 'detail'])
def test_gain_and_offset_drop_out(scene: np.ndarray, method: str) -> None:
    mapped = tone_map(scene, method).astype(int)
    np.testing.assert_array_equal(tone_map(scene * 2 + 512, method), mapped)
    other = tone_map((scene * 3 + 700).astype(np.uint16), method).astype(int)
    assert np.abs(other - mapped).max() <= 1


@pytest.mark.parametrize('method', ['linear', 'window', 'percentile', 'plateau'])
def test_order_is_kept(scene: np.ndarray, method: str) -> None:
    for image in (scene, scene.astype(np.float32) * 0.04 - 273.15):
        settings = {'low': 15, 'high': 25} if method == 'window' and image.dtype == np.float32 else GLOBAL[method]
        mapped = tone_map(image, method, **settings).ravel()[np.argsort(image, axis=None)]
        assert (np.diff(mapped.astype(int)) >= 0).all() and mapped[0] < mapped[-1]


@pytest.mark.parametrize('method', ALL)
def test_depths_agree(scene: np.ndarray, method: str) -> None:
    """The same values as uint8, uint16 and float32 (which plateau counts in steps of its own)."""
    grey = (scene - scene.min()) * 0.25
    settings = {'low': 10, 'high': 120} if method == 'window' else {}
    by_depth = [tone_map(grey.astype(np.uint8).astype(d), method, **settings) for d in (np.uint8, np.uint16)]
    np.testing.assert_array_equal(*by_depth)
    as_float = tone_map(grey.astype(np.uint8).astype(np.float32), method, **settings)
    assert np.abs(as_float.astype(int) - by_depth[0]).max() <= 1


@pytest.mark.parametrize('method', GLOBAL)
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_a_table_of_levels_maps_as_the_image_is_mapped(method: str, dtype: type) -> None:
    rng = np.random.default_rng(5)
    for high in (2, 40, 256, 9000):
        image = rng.integers(0, min(high, np.iinfo(dtype).max), (41, 67)).astype(dtype)
        settings = {'low': 1.5, 'high': 0.8 * high} if method == 'window' else {}
        counts = np.bincount(image.ravel(), minlength=np.iinfo(dtype).max + 1)
        table = level_table(counts, method, **settings)
        assert table.dtype == np.uint8 and table.shape == counts.shape
        np.testing.assert_array_equal(table[image], tone_map(image, method, **settings))


def test_a_table_counts_beyond_what_float32_counts() -> None:
    """Of 2^25 + 1 pixels the middle is 7000, since one more is there: in float32 both halves are alike."""
    counts = np.zeros(65536, np.int64)
    counts[[7000, 9000]] = 2**24 + 1, 2**24
    assert level_table(counts, 'percentile', low=0, high=50)[[7000, 7001]].tolist() == [0, 0]
    assert level_table(counts, 'percentile', low=50, high=100)[[7000, 8000, 9000]].tolist() == [0, 128, 255]
    level = np.zeros((4097, 4099), np.uint8)
    level[0, :3] = 1
    assert count_levels(level)[:3].tolist() == [4097 * 4099 - 3, 3, 0]


def test_no_table_of_what_looks_at_neighbours() -> None:
    counts = np.ones(256, np.int64)
    for method in ('clahe', 'detail'):
        with pytest.raises(ValueError, match='need the histogram alone'):
            level_table(counts, method)
    with pytest.raises(TypeError, match="'window': expected settings"):
        level_table(counts, 'window')
    for wrong in (np.ones(300, np.int64), np.zeros(256, np.int64)):
        with pytest.raises(ValueError, match='256 or 65536 levels'):
            level_table(wrong, 'linear')


def slow_plateau(image: np.ndarray, plateau: float) -> list[list[int]]:
    values = image.ravel().tolist()
    numbers = {value: values.count(value) for value in sorted(set(values))}
    limit = plateau * len(values) / len(numbers)
    clipped = {value: min(number, limit) for value, number in numbers.items()}
    first, total = next(iter(clipped.values())), sum(clipped.values())
    table, running = {}, 0.0
    for value, number in clipped.items():
        running += number
        table[value] = round(255 * (running - first) / (total - first))
    return [[table[value] for value in line] for line in image.tolist()]


@pytest.mark.parametrize('plateau', [0.05, 0.5, 1.0, 3.0, 1e6])
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_plateau_equalisation_by_a_slow_loop(plateau: float, dtype: type) -> None:
    values = np.random.default_rng(0).geometric(0.2, (24, 30)) * (3 if dtype == np.uint8 else 311)
    got = tone_map(values.astype(dtype), 'plateau', plateau=plateau).astype(int)
    assert np.abs(got - slow_plateau(values, plateau)).max() <= (0 if plateau == 1e6 else 1)  # halves


def test_plateau_limits() -> None:
    image = row(*[10] * 12, *[500] * 3, 501, 9000)
    # near 0: the four values are equally far apart, whatever their number
    assert np.unique(tone_map(image, 'plateau', plateau=1e-3)).tolist() == [0, 85, 170, 255]
    grey = np.random.default_rng(0).poisson(60, (40, 50)).astype(np.uint8)
    plain = tone_map(grey, 'plateau', plateau=1e6).astype(int)
    assert np.abs(plain - cv2.equalizeHist(grey)).max() <= 1


def slow_clahe_of_one_tile(image: np.ndarray, clip_limit: float) -> list[list[int]]:
    """Zuiderveld's method with OpenCV's redistribution of what the limit cuts off."""
    values = image.ravel().tolist()
    histogram = [values.count(v) for v in range(256)]
    limit = max(int(clip_limit * len(values) / 256), 1)
    excess = sum(max(n - limit, 0) for n in histogram)
    histogram = [min(n, limit) + excess // 256 for n in histogram]
    rest = excess % 256
    for v in range(0, 256, max(256 // rest, 1) if rest else 256):
        if rest:
            histogram[v] += 1
            rest -= 1
    table = [round(255 / len(values) * sum(histogram[: v + 1])) for v in range(256)]
    return [[table[v] for v in line] for line in image.tolist()]


@pytest.mark.parametrize('clip_limit', [1.5, 4.0])
def test_clahe_by_a_slow_loop(scene: np.ndarray, clip_limit: float) -> None:
    crop = scene[:40, :48]
    bottom, top = float(crop.min()), float(crop.max())
    stretched = np.rint((crop - bottom) * (255 / (top - bottom))).astype(np.uint8)
    got = tone_map(crop, 'clahe', clip_limit=clip_limit, tiles=1, limits=(bottom, top)).astype(int)
    assert np.abs(got - slow_clahe_of_one_tile(stretched, clip_limit)).max() <= 1


def test_clahe_raises_local_contrast() -> None:
    """Two halves with the same weak pattern, far apart in temperature: one stretch cannot serve both."""
    pattern = np.random.default_rng(0).integers(0, 20, (64, 64), dtype=np.uint16)
    image = np.hstack([6000 + pattern, 9000 + pattern])
    plain, local = tone_map(image, 'linear'), tone_map(image, 'clahe', clip_limit=10)
    for half in (slice(0, 48), slice(80, None)):
        assert local[:, half].std() > 5 * plain[:, half].std()


def slow_detail(image: np.ndarray, bottom: float, top: float, radius: int, edge: float) -> tuple:
    """Guided filter in explicit windows, reflected at the border, float64; returns base, weight, scaled image."""
    x = (image - bottom) / (top - bottom)

    def mean(values: np.ndarray) -> np.ndarray:
        padded, out = np.pad(values, radius, mode='symmetric'), np.empty_like(values)
        for i in range(values.shape[0]):
            for j in range(values.shape[1]):
                out[i, j] = padded[i : i + 2 * radius + 1, j : j + 2 * radius + 1].mean()
        return out

    variance = mean(x**2) - mean(x) ** 2
    a = variance / (variance + edge**2)
    return mean(a) * x + mean(mean(x) - a * mean(x)), mean(a), x


@pytest.mark.parametrize(('radius', 'edge', 'gain', 'flat_gain'), [(1, 0.1, 3, 1), (2, 0.05, 6, 0.5), (3, 0.3, 0, 0)])
def test_detail_by_a_slow_loop(scene: np.ndarray, radius: int, edge: float, gain: float, flat_gain: float) -> None:
    crop = scene[10:40, 20:60]
    limits = (float(crop.min()), float(crop.max()))
    base, weight, x = slow_detail(crop.astype(np.float64), *limits, radius, edge)
    levels = np.rint(np.clip(base, 0, 1) * 4095).astype(int)
    expected = (
        25.5 + 0.8 * np.array(slow_plateau(levels, 1.0)) + 255 * (flat_gain + (gain - flat_gain) * weight) * (x - base)
    )
    settings = {'radius': radius, 'edge': edge, 'gain': gain, 'flat_gain': flat_gain, 'plateau': 1.0}
    got = tone_map(crop, 'detail', limits=limits, **settings).astype(int)
    # Levels that differ by float32 rounding may land in the next bin: one step of the equalised base.
    assert np.abs(got - np.clip(expected, 0, 255)).max() <= 2


def test_detail_keeps_noise_lower_than_texture() -> None:
    rng = np.random.default_rng(0)
    image = np.full((96, 288), 8000.0)
    image[:, :96] += rng.normal(0, 2, (96, 96))  # detector noise
    image[:, 96:192] += 60 * (np.indices((96, 96)).sum(axis=0) // 3 % 2)  # texture
    image[:, 192:] = np.linspace(7500, 8700, 96)[:, None]
    gains = []
    for part in (slice(16, 80), slice(112, 176)):
        spread = [tone_map(image.astype(np.uint16), 'detail', gain=g)[16:80, part].std() for g in (1, 4)]
        gains.append(spread[1] / spread[0])
    assert gains[0] < 1.2 < gains[1]


def test_equal_percentiles_fall_back_to_the_extremes() -> None:
    image = np.full((50, 60), 7000, np.uint16)
    image[20, 20:24] = 7100
    assert np.unique(tone_map(image, 'percentile')).tolist() == [0, 255]
    assert tone_map(image, 'percentile')[20, 20] == 255


@pytest.mark.parametrize('method', ALL)
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.float32])
def test_images_without_contrast(method: str, dtype: type) -> None:
    mapped = tone_map(np.full((20, 30), 77, dtype), method, **ALL[method])
    assert mapped.dtype == np.uint8 and mapped.shape == (20, 30) and len(np.unique(mapped)) == 1


@pytest.mark.parametrize(
    ('method', 'settings', 'error', 'message'),
    [
        ('gamma', {}, ValueError, r"method: expected one of \['clahe', .*\], got 'gamma'"),
        ('window', {'low': 3}, TypeError, r"expected settings out of \['low', 'high', .* but \['high'\] not given"),
        ('percentile', {'lo': 3}, TypeError, r"expected settings out of \['low', 'high'\], got \['lo'\]"),
        ('window', {'low': 3, 'high': 3}, ValueError, 'expected low < high, got low=3 and high=3'),
        ('window', {'low': 0, 'high': 3, 'kelvin_per_count': 0}, ValueError, 'kelvin_per_count: expected more than 0'),
        ('percentile', {'low': 50, 'high': 20}, ValueError, 'expected percentiles 0 <= low < high <= 100'),
        ('percentile', {'high': 101}, ValueError, 'expected percentiles'),
        ('plateau', {'plateau': 0}, ValueError, 'plateau: expected more than 0, got 0'),
        ('clahe', {'clip_limit': 0}, ValueError, 'clip_limit: expected more than 0, got 0'),
        ('clahe', {'tiles': 0}, ValueError, 'tiles: expected at least 1, got 0'),
        ('clahe', {'limits': (5, 5)}, ValueError, r'limits: expected the lower one first, got \(5, 5\)'),
        ('detail', {'radius': 0}, ValueError, 'radius: expected more than 0, got 0'),
        ('detail', {'gain': -1}, ValueError, 'gain: expected 0 or more, got -1'),
        ('linear', {'channels': 2}, ValueError, 'channels: expected 1 or 3, got 2'),
    ],
)
def test_wrong_settings_are_refused_when_the_config_is_built(method, settings, error, message) -> None:
    with pytest.raises(error, match=message):
        ToneMapping(method, **settings)


def test_the_transform(scene: np.ndarray) -> None:
    expected = stretch(scene)
    for image in (scene, scene[..., None], np.stack([scene] * 3, axis=-1)):
        mapped = ToneMapping('percentile').transform({'img': image, 'img_path': 'a.png', 'page': 3})
        np.testing.assert_array_equal(mapped['img'], np.stack([expected] * 3, axis=-1))
        assert mapped['page'] == 3
        single = ToneMapping('percentile', channels=1).transform({'img': image})
        np.testing.assert_array_equal(single['img'], expected)
    assert repr(ToneMapping('clahe', clip_limit=3.0)) == "ToneMapping(method='clahe', channels=3, clip_limit=3.0)"


@pytest.mark.parametrize(
    ('image', 'message'),
    [
        (np.array([[1, np.nan]], np.float32), 'image a.npy: expected finite values, got NaN'),
        (np.zeros((4, 4), np.int32), 'image a.npy: expected uint8, uint16 or float32 .*, got int32'),
        (np.dstack([np.zeros((4, 4, 2), np.uint8), np.ones((4, 4), np.uint8)]), 'image a.npy: expected grey values'),
    ],
)
def test_images_that_cannot_be_mapped_are_named(image: np.ndarray, message: str) -> None:
    for method in METHODS:
        with pytest.raises(ValueError, match=message):
            ToneMapping(method, **ALL[method]).transform({'img': image, 'img_path': 'a.npy'})


def test_halves_are_rounded_to_even_without_an_error_of_floating_point() -> None:
    """``255 / (high - low)`` has no exact form in binary: a product with it can miss a half by its last bit."""
    for high in range(2, 2000, 2):
        image = np.array([[0, high // 2, high]], np.uint16)
        assert tone_map(image, 'linear').tolist() == [[0, 128, 255]]  # 127.5
    for low, high in ((0, 102), (7, 109), (1000, 1510)):
        image = np.arange(low, high + 1, dtype=np.uint16)[None]
        expected = [[round(Fraction(255 * (value - low), high - low)) for value in range(low, high + 1)]]
        assert tone_map(image, 'linear').tolist() == expected
    image = np.random.default_rng(2).integers(0, 2**14, (37, 53)).astype(np.uint16)
    values, last = sorted(image.ravel().tolist()), image.size - 1
    ends = []
    for share in (Fraction(5, 1000), Fraction(997, 1000)):
        below, rest = divmod(last * share, 1)
        ends.append(values[below] + rest * (values[below + 1] - values[below]))
    expected = [
        min(max(round((value - ends[0]) * 255 / (ends[1] - ends[0])), 0), 255) for value in image.ravel().tolist()
    ]
    assert tone_map(image, 'percentile').ravel().tolist() == expected


def test_large_images_take_little_more_memory_than_their_levels() -> None:
    image = np.random.default_rng(0).integers(6000, 9000, (3000, 2000), dtype=np.uint16)
    tracemalloc.start()
    levels = tone_map(image, 'percentile')
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * levels.nbytes  # NumPy's own look-up takes eight bytes a pixel
    low, high = np.percentile(image, (0.5, 99.7))
    expected = np.clip((image - low) * (255 / (high - low)), 0, 255).round()
    assert np.abs(levels - expected).max() <= 1 and (levels == expected).mean() > 0.99
