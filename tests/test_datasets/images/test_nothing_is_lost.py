"""What a decoder would cut, scale or turn is put right or refused by its reason, for every kind of file."""

from pathlib import Path

from mmdet_ir.datasets.images.infrared_io import count_pages, read_infrared
from mmdet_ir.datasets.images.values import SwappedBytesError, as_plain_type, looks_byte_swapped
from mmdet_ir.datasets.validation.files import read_picture

import cv2
import numpy as np
import pytest
import tifffile
from image_files import exif, packed, png, tiff, tiff_tags, with_exif
from PIL import Image, ImageOps

SHAPE = (12, 21)  # no multiple of 8, so that packed rows are filled up


@pytest.fixture
def counts() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2**14, SHAPE, dtype=np.uint16)


def save(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize('bits', [10, 12, 14])
@pytest.mark.parametrize('page', [None, 0])
def test_packed_bits_keep_their_values(tmp_path: Path, bits: int, page: int | None) -> None:
    values = np.random.default_rng(bits).integers(0, 2**bits, SHAPE)
    path = save(tmp_path / 'a.tif', tiff([(tiff_tags(values, bits), packed(values, bits))]))
    image = read_infrared(path, page=page)
    assert image.dtype == np.uint16
    np.testing.assert_array_equal(image, values)


REFUSED = {
    '2 values for each pixel': lambda c: (np.dstack([c, c]), 16, {}),
    '5 values for each pixel': lambda c: (np.dstack([c] * 5), 16, {}),
    '3 values for each pixel': lambda c: (np.dstack([c] * 3), 16, {}),  # (black is zero, so no colours)
    'unsigned values of 11 bits': lambda c: (c & 2047, 11, {}),
    'unsigned values of 24 bits': lambda c: (c, 24, {}),
    'signed values of 12 bits': lambda c: (c & 2047, 12, {'format': 2}),
    'floating-point values of 16 bits': lambda c: (c, 16, {'format': 3}),
    'neither integers nor floating-point': lambda c: (c, 16, {'format': 6}),
    'MINISWHITE': lambda c: (c, 16, {'photometric': 0}),
    'photometric kind 32803': lambda c: (c, 16, {'photometric': 32803}),
    'photometric kind 5': lambda c: (np.dstack([c & 255] * 4), 8, {'photometric': 5}),
}


@pytest.mark.parametrize('reason', REFUSED)
def test_kinds_that_opencv_reduces_are_refused_by_their_reason(
    tmp_path: Path, counts: np.ndarray, reason: str
) -> None:
    values, bits, tags = REFUSED[reason](counts)
    pixels = values.astype('<u2').tobytes() if bits == 16 else packed(values, bits)
    path = save(tmp_path / 'a.tif', tiff([(tiff_tags(values, bits, **tags), pixels)]))
    for page in (None, 0):
        with pytest.raises(ValueError, match=rf'a.tif: cannot be read without a loss: .*{reason}') as error:
            read_infrared(path, page=page)
        assert 'damaged' not in str(error.value)
    assert read_picture(path).fault == 'image-unreadable'


def test_levels_of_eight_bits_stored_as_min_is_white_appear_as_in_every_viewer(tmp_path: Path) -> None:
    values = np.arange(252).reshape(SHAPE)
    path = save(tmp_path / 'a.tif', tiff([(tiff_tags(values, 8, photometric=0), packed(values, 8))]))
    np.testing.assert_array_equal(read_infrared(path), np.asarray(Image.open(path)))


@pytest.mark.parametrize('kind', [1, 4, 5])
def test_overviews_and_masks_are_no_pages(tmp_path: Path, counts: np.ndarray, kind: int) -> None:
    def page(values: np.ndarray, **tags: int) -> tuple[dict, bytes]:
        return tiff_tags(values, 16, **tags), values.astype('<u2').tobytes()

    small = counts[::2, ::2]
    one = save(tmp_path / 'one.tif', tiff([page(counts), page(small, subfile=kind)]))
    np.testing.assert_array_equal(read_infrared(one), counts)
    assert count_pages(one) == 1
    two = save(tmp_path / 'two.tif', tiff([page(counts), page(small, subfile=kind), page(counts + 1)]))
    assert count_pages(two) == 2
    np.testing.assert_array_equal(read_infrared(two, page=1), counts + 1)
    with pytest.raises(ValueError, match='two.tif: is a stack'):
        read_infrared(two)
    only = save(tmp_path / 'only.tif', tiff([page(small, subfile=kind)]))
    np.testing.assert_array_equal(read_infrared(only), small)


def test_stacks_of_imagej_without_a_directory_for_each_image_are_refused(tmp_path: Path, counts: np.ndarray) -> None:
    """As ImageJ writes stacks above 4 GB, here written small by tifffile."""
    stack = np.stack([counts, counts + 1, counts + 2])
    for name, options in (('whole', {}), ('cut', {'truncate': True})):
        with tifffile.TiffWriter(tmp_path / f'{name}.tif', imagej=True) as writer:
            writer.write(stack, **options)
    told = r'cut.tif: a stack of ImageJ .*: 3 images, of which the file lists 1, .*; save it as OME-TIFF, or in parts'
    for page in (None, 1, 2):
        with pytest.raises(ValueError, match=told):
            read_infrared(tmp_path / 'cut.tif', page=page)
    with pytest.raises(ValueError, match=told):
        count_pages(tmp_path / 'cut.tif')
    found = read_picture(tmp_path / 'cut.tif')
    assert found.fault == 'image-unreadable' and 'OME-TIFF' in found.detail
    assert count_pages(tmp_path / 'whole.tif') == 3
    for page, image in enumerate(stack):
        np.testing.assert_array_equal(read_infrared(tmp_path / 'whole.tif', page=page), image)


def test_an_image_out_of_a_stack_of_imagej_may_keep_its_description(tmp_path: Path, counts: np.ndarray) -> None:
    tags = tiff_tags(counts, 16) | {270: b'ImageJ=1.54f\nimages=3\nslices=3\n\0'}
    path = save(tmp_path / 'a.tif', tiff([(tags, counts.astype('<u2').tobytes())]))
    np.testing.assert_array_equal(read_infrared(path), counts)
    assert count_pages(path) == 1


def test_missing_measurements_are_told(tmp_path: Path, counts: np.ndarray) -> None:
    counts[2, 3:5] = 65535
    content = [({**tiff_tags(counts, 16), 42113: b'65535\0'}, counts.astype('<u2').tobytes())]
    path = save(tmp_path / 'a.tif', tiff(content))
    with pytest.raises(ValueError, match='a.tif: 2 of 252 values are 65535, which the file calls "nodata"'):
        read_infrared(path)
    content[0][0][42113] = b'0.5\0'
    np.testing.assert_array_equal(read_infrared(save(path, tiff(content))), counts)


@pytest.mark.parametrize('dtype', ['<i2', '<i4', '<u4', '<f4', '<f8', '<u8'])
def test_other_types_of_tiff_keep_their_values(tmp_path: Path, counts: np.ndarray, dtype: str) -> None:
    values = counts.astype(dtype) - (8000 if dtype[1] != 'u' else 0)
    form = {'u': 1, 'i': 2, 'f': 3}[dtype[1]]
    tags = tiff_tags(values, 8 * values.dtype.itemsize, format=form)
    np.testing.assert_array_equal(read_infrared(save(tmp_path / 'a.tif', tiff([(tags, values.tobytes())]))), values)


def test_compressions_that_opencv_lacks_are_not_called_damaged(tmp_path: Path, counts: np.ndarray) -> None:
    tags = tiff_tags(counts, 16, compression=34925)
    path = save(tmp_path / 'a.tif', tiff([(tags, b'\xfd7zXZ' + bytes(99))]))
    with pytest.raises(ValueError, match=r'a.tif: OpenCV does not decode its compression \(LZMA\)'):
        read_infrared(path)


def test_transparency_is_told_and_opaque_alpha_dropped(tmp_path: Path, counts: np.ndarray) -> None:
    for bits, colour in ((8, 4), (16, 4), (8, 6), (16, 6)):
        levels = counts >> 6 if bits == 8 else counts
        channels = [levels] * (colour // 2 - 1 if colour == 4 else 3)
        opaque = np.dstack([*channels, np.full(SHAPE, 2**bits - 1)])
        np.testing.assert_array_equal(
            read_infrared(save(tmp_path / 'a.png', png(opaque, bits, colour))).reshape(*SHAPE, -1)[..., 0], levels
        )
        opaque[4, 5:8, -1] = 0
        with pytest.raises(ValueError, match='a.png: 3 of 252 pixels are transparent'):
            read_infrared(save(tmp_path / 'a.png', png(opaque, bits, colour)))
    rgba = np.dstack([counts >> 6] * 3 + [np.full(SHAPE, 255)])
    tags = tiff_tags(rgba, 8, photometric=2, extra=2)
    assert read_infrared(save(tmp_path / 'a.tif', tiff([(tags, packed(rgba, 8))]))).shape == (*SHAPE, 3)
    rgba[0, 0, 3] = 9
    with pytest.raises(ValueError, match='a.tif: 1 of 252 pixels are transparent'):
        read_infrared(save(tmp_path / 'a.tif', tiff([(tags, packed(rgba, 8))])))


def test_animations_are_no_single_images(tmp_path: Path, counts: np.ndarray) -> None:
    first, second = (Image.fromarray((counts >> shift).astype(np.uint8)) for shift in (6, 7))
    first.save(tmp_path / 'a.png', save_all=True, append_images=[second])
    with pytest.raises(ValueError, match='a.png: .*an animation of 2 images'):
        read_infrared(tmp_path / 'a.png')
    first.save(tmp_path / 'a.gif', save_all=True, append_images=[second])
    (tmp_path / 'a.gif').rename(tmp_path / 'b.png')
    with pytest.raises(ValueError, match='b.png: .*an animation of 2 images'):
        read_infrared(tmp_path / 'b.png')


def test_deep_jpegs_are_not_called_damaged(tmp_path: Path, counts: np.ndarray) -> None:
    jpeg = cv2.imencode('.jpg', (counts >> 6).astype(np.uint8))[1].tobytes()
    frame = jpeg.index(b'\xff\xc0')
    save(tmp_path / 'a.jpg', jpeg[: frame + 4] + b'\x0c' + jpeg[frame + 5 :])
    with pytest.raises(ValueError, match='a.jpg: a JPEG of 12 bits a sample, which OpenCV does not decode'):
        read_infrared(tmp_path / 'a.jpg')
    save(tmp_path / 'b.jpg', jpeg[: frame + 1] + b'\xc3' + jpeg[frame + 2 :])
    with pytest.raises(ValueError, match='b.jpg: a lossless JPEG'):
        read_infrared(tmp_path / 'b.jpg')


def test_shapes_of_npy(tmp_path: Path, counts: np.ndarray) -> None:
    levels = (counts >> 6).astype(np.uint8)
    for name, array in {
        'grey': np.dstack([levels] * 3),
        'deep': np.dstack([counts] * 3),
        'one': counts[..., None],
    }.items():
        np.save(tmp_path / f'{name}.npy', array)
        assert count_pages(tmp_path / f'{name}.npy') == 1
        for page in (None, 0):
            np.testing.assert_array_equal(read_infrared(tmp_path / f'{name}.npy', page=page), array[..., 0])
        with pytest.raises(ValueError, match='page'):
            read_infrared(tmp_path / f'{name}.npy', page=1)
    np.save(tmp_path / 'colours.npy', np.dstack([levels, levels, levels + 1]))
    with pytest.raises(ValueError, match=r'colours.npy: an array \(12, 21, 3\) of colours, whose order'):
        read_infrared(tmp_path / 'colours.npy')
    for channels in (2, 4):
        np.save(tmp_path / 'more.npy', np.dstack([counts] * channels))
        for use in (read_infrared, count_pages):
            with pytest.raises(ValueError, match=f'more.npy: .*looks like {channels} values for each pixel'):
                use(tmp_path / 'more.npy')
    np.save(tmp_path / 'half.npy', (counts / 16).astype(np.float16))
    np.testing.assert_array_equal(read_infrared(tmp_path / 'half.npy'), (counts / 16).astype(np.float16))
    np.save(tmp_path / 'columns.npy', np.asfortranarray(counts))
    image = read_infrared(tmp_path / 'columns.npy')
    np.testing.assert_array_equal(image, counts)
    assert image.flags.writeable


def test_the_content_decides_the_kind_of_a_file(tmp_path: Path, counts: np.ndarray) -> None:
    """A wrong ending changes nothing; a stack stays a stack."""
    levels = (counts >> 6).astype(np.uint8)
    np.save(tmp_path / 'array.npy', counts)
    pages = [(tiff_tags(c, 16), c.astype('<u2').tobytes()) for c in (counts, counts + 1)]
    files = {'npy': (tmp_path / 'array.npy').read_bytes(), 'tif': tiff(pages[:1]), 'png': png(counts, 16, 0)}
    for content in files.values():
        for suffix in ('.png', '.jpg', '.tif', '.npy', '.bmp'):
            np.testing.assert_array_equal(read_infrared(save(tmp_path / f'a{suffix}', content)), counts)
            assert read_picture(tmp_path / f'a{suffix}').fault == ''
    stack = save(tmp_path / 'stack.png', tiff(pages))
    assert count_pages(stack) == 2
    np.testing.assert_array_equal(read_infrared(stack, page=1), counts + 1)
    with pytest.raises(ValueError, match='stack.png: is a stack'):
        read_infrared(stack)
    jpeg = cv2.imencode('.jpg', levels)[1].tobytes()
    expected = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(read_infrared(save(tmp_path / 'jpeg.png', jpeg)), expected)


@pytest.mark.parametrize('tail', [b'\0' * 40, b'\xff\xda\0\x08', b'\xff\xd8\xff\xda' + bytes(90), b'FLIR' * 9])
def test_a_good_jpeg_with_more_behind_it_is_not_cut_off(tmp_path: Path, counts: np.ndarray, tail: bytes) -> None:
    jpeg = cv2.imencode('.jpg', (counts >> 6).astype(np.uint8))[1].tobytes()
    expected = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    path = save(tmp_path / 'a.jpg', jpeg + tail)
    np.testing.assert_array_equal(read_infrared(path), expected)
    assert read_picture(path).fault == ''


@pytest.mark.parametrize('orientation', range(1, 9))
def test_orientations_in_every_kind_of_file(tmp_path: Path, counts: np.ndarray, orientation: int) -> None:
    levels = (counts >> 6).astype(np.uint8)
    tags = {bits: tiff_tags(levels, bits, orientation=orientation) for bits in (8, 16)}
    files = {
        'a.jpg': with_exif(cv2.imencode('.jpg', levels)[1].tobytes(), orientation),
        'a.png': png(levels, 8, 0, (b'eXIf', exif(orientation))),
        'deep.png': png(counts, 16, 0, (b'eXIf', exif(orientation))),
        'a.tif': tiff([(tags[8], levels.tobytes())]),
        'deep.tif': tiff([(tags[16], counts.astype('<u2').tobytes())]),
    }
    for name, content in files.items():
        path = save(tmp_path / name, content)
        image = read_infrared(path)
        stored = Image.fromarray(counts if 'deep' in name else levels)
        if name == 'a.jpg':
            stored = Image.open(path).convert('L')
            stored.getexif().clear()
        stored.getexif()[274] = orientation
        upright = np.asarray(ImageOps.exif_transpose(stored))
        assert image.shape == upright.shape
        assert np.abs(image.astype(int) - upright).max() <= (2 if name == 'a.jpg' else 0)  # (two JPEG decoders)
        assert read_picture(path).orientation == orientation


def test_exchanged_bytes_are_told(tmp_path: Path) -> None:
    y, x = np.mgrid[:48, :64]
    scene = (14000 + 9 * x + 20 * np.sin(y / 3) + np.random.default_rng(0).normal(0, 6, (48, 64))).astype(np.uint16)
    cv2.imwrite(str(tmp_path / 'good.png'), scene)
    cv2.imwrite(str(tmp_path / 'bad.png'), scene.byteswap())
    np.save(tmp_path / 'bad.npy', scene.byteswap())
    np.testing.assert_array_equal(read_infrared(tmp_path / 'good.png'), scene)
    for name in ('bad.png', 'bad.npy'):
        with pytest.raises(SwappedBytesError, match=f'{name}: the two bytes of its 16-bit values have changed places'):
            read_infrared(tmp_path / name)
        assert read_picture(tmp_path / name).fault == 'image-bytes-swapped'
    with pytest.raises(SwappedBytesError):
        as_plain_type(scene.byteswap(), 'camera')


def test_no_sound_image_seems_to_have_exchanged_bytes() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:48, :64]
    for low, gain, noise in ((0, 1, 0), (3000, 5, 3), (200, 40, 50), (0, 500, 900), (32768, 0, 30), (20000, 0, 3000)):
        scene = (low + gain * x + rng.normal(0, noise, x.shape)).clip(0, 65535).astype(np.uint16)
        for values in (scene, scene << 2, (scene & 255) << 8, (scene & 255) * 257, np.full_like(scene, low)):
            assert not looks_byte_swapped(values)
    assert not looks_byte_swapped(rng.integers(0, 65536, (48, 64)).astype(np.uint16))
