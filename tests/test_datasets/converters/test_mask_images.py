"""Converter of mask images."""

from mmdet_ir.datasets.converters import (
    convert_mask_images,
)

import numpy as np
import pytest
from hand_made import (
    BAR,
    FOUR,
    HEIGHT,
    L_SHAPE,
    OBJECTS,
    TWIN,
    WIDTH,
    check,
    load,
    pixels,
    pixels_of,
    write_image,
    write_mask,
)
from PIL import Image

VALUES = {1: 'person', 2: 'car', 3: 'bike', 4: 'dog'}


NUMBERS = {name: number for number, name in VALUES.items()}


@pytest.mark.parametrize('dtype', [np.uint16, np.int32])
def test_instance_masks_round_trip(tmp_path, dtype):
    """Cityscapes' numbers: 1000 x class + instance; the car is in two parts."""
    src = tmp_path / 'src'
    for image in 'ab':
        mask = np.zeros((HEIGHT, WIDTH), np.uint16)
        for k, (where, name, polygons, _, _) in enumerate(OBJECTS):
            if where == image:
                mask[pixels(polygons)] = 1000 * NUMBERS[name] + k
        write_image(src / f'images/{image}.jpg')
        if dtype == np.uint16:
            write_mask(src / f'masks/{image}.png', mask)
        else:
            write_mask(src / f'masks/{image}.tiff', mask.astype(dtype))
    report = convert_mask_images(src, tmp_path / 'out', 'instance', VALUES, divisor=1000, options=FOUR)
    check(tmp_path / 'out', report, {'a': 'a.jpg', 'b': 'b.jpg'}, tolerance=1.25)
    assert [a['source_value'] for a in load(tmp_path / 'out')['annotations']] == [1000, 2001, 3002]


def test_instance_masks_of_one_class(tmp_path):
    write_image(tmp_path / 'src/images/train/a.jpg')
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[pixels([BAR])], mask[pixels([L_SHAPE])] = 7, 255
    write_mask(tmp_path / 'src/masks/train/a.png', mask)
    report = convert_mask_images(tmp_path / 'src', tmp_path / 'out', 'instance', {1: 'drone'}, options=FOUR)
    found = load(tmp_path / 'out', 'train')['annotations']
    assert [(a['category_id'], a['area'], a['bbox']) for a in found] == [
        (4, 240, [30, 10, 20, 12]),
        (4, 150, [10, 5, 10, 20]),
    ]
    assert report.read == {'drone': 2}


def test_semantic_masks_and_connected_components(tmp_path):
    src = tmp_path / 'src'
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[pixels([BAR])] = mask[pixels([TWIN])] = 2  # two cars
    mask[5:10, 5:10], mask[10:12, 10:12] = 1, 1  # joined by a corner: one person
    mask[39, 59] = 1  # a speck
    mask[0, :3] = 200  # not named
    write_image(src / 'images/a.jpg')
    write_mask(src / 'masks/a.png', mask)
    report = convert_mask_images(src, tmp_path / 'out', 'semantic', VALUES, min_area=2, options=FOUR)
    found = load(tmp_path / 'out')['annotations']
    assert [(a['category_id'], a['area'], a['bbox']) for a in found] == [
        (1, 29, [5, 5, 7, 7]),
        (2, 240, [30, 10, 20, 12]),
        (2, 36, [30, 28, 6, 6]),
    ]
    union = np.any([pixels_of(a) for a in found], axis=0)
    expected = np.isin(mask, (1, 2))
    expected[39, 59] = False
    np.testing.assert_array_equal(union, expected)
    assert report.read == {'person': 2, 'car': 2, '(200)': 1} and report.unmapped == {'(200)': 1}
    assert report.dropped == {'person: component under 2 pixels': 1}


def test_palette_masks_count_by_index(tmp_path):
    write_image(tmp_path / 'src/images/a.jpg')
    (tmp_path / 'src/masks').mkdir()
    image = Image.fromarray(pixels([BAR]).astype(np.uint8), mode='P')
    image.putpalette([0, 0, 0, 128, 0, 0])
    image.save(tmp_path / 'src/masks/a.png')
    convert_mask_images(tmp_path / 'src', tmp_path / 'out', 'semantic', {1: 'car'}, options=FOUR)
    assert [a['area'] for a in load(tmp_path / 'out')['annotations']] == [240]


def test_invalid_mask_images(tmp_path):
    src = tmp_path / 'src'
    for name in 'abcdefg':
        write_image(src / f'images/{name}.jpg')
    mask = pixels([BAR]).astype(np.uint8)
    write_mask(src / 'masks/a.png', mask)
    write_mask(src / 'masks/b.png', mask[:, 1:])
    write_mask(src / 'masks/c.png', np.stack([mask] * 3, axis=-1))
    write_mask(src / 'masks/d.jpg', mask)
    (src / 'masks/e.png').write_text('no image')
    write_mask(src / 'masks/g.tiff', np.arange(2400, dtype=np.uint16).reshape(HEIGHT, WIDTH))
    write_mask(src / 'masks/z.png', mask)
    report = convert_mask_images(src, tmp_path / 'out', 'semantic', {1: 'car'}, options=FOUR)
    messages = [
        'd.jpg: expected a mask without loss',
        'f.jpg: no mask',
        'z.png: no image for this mask',
        'b.png: expected the height and width of its image, (40, 60), got (40, 59)',
        'c.png: expected a mask of one channel of whole numbers, got uint8 [40, 60, 3]',
        'e.png: not a readable image',
        'g.tiff: expected a mask of at most 2000 values, got 2399',
    ]
    assert len(report.skipped) == len(messages)
    for message, line in zip(messages, report.skipped, strict=True):
        assert message in line
    assert report.read == {'car': 1}


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('panoptic', VALUES), "expected masks of kind 'instance' or 'semantic', got 'panoptic'"),
        (('instance', VALUES), 'expected a divisor, or a single class for all instances'),
        (('semantic', {}), 'expected names for class numbers other than 0'),
        (('semantic', {0: 'person'}), 'expected names for class numbers other than 0'),
        (('instance', {0: 'person'}, 1000), 'expected names for class numbers other than 0'),
    ],
)
def test_mask_arguments(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        convert_mask_images(tmp_path, tmp_path / 'out', *arguments)


def test_instances_without_a_number(tmp_path):
    write_image(tmp_path / 'src/images/a.jpg')
    mask = pixels([BAR]).astype(np.uint16) * 2000
    mask[0, :5] = 2
    write_mask(tmp_path / 'src/masks/a.png', mask)
    report = convert_mask_images(tmp_path / 'src', tmp_path / 'out', 'instance', VALUES, 1000, options=FOUR)
    assert report.dropped == {'car: value below the divisor: a class without an instance number': 1}
    with pytest.raises(FileNotFoundError, match='expected masks in masks/, found none'):
        convert_mask_images(tmp_path, tmp_path / 'other', 'semantic', VALUES)


@pytest.mark.parametrize('orientation', [1, 2, 3, 4, 6, 8])
@pytest.mark.parametrize('of_mask', [False, True])
def test_an_exif_orientation_is_told_and_turns_masks_too(tmp_path, orientation, of_mask):
    """Images are turned upright when they are loaded; a mask with the same orientation is turned with its image."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[5:15, 10:40] = 1
    exif = Image.Exif()
    exif[274] = orientation
    for folder, name in (('images', 'a.jpg'), ('masks', 'a.png')):
        (tmp_path / 'src' / folder).mkdir(parents=True)
        pixels = mask if folder == 'masks' else mask * 200 + 20
        more = {'exif': exif} if folder == 'images' or of_mask else {}
        Image.fromarray(pixels).save(tmp_path / 'src' / folder / name, **more)
    convert = lambda: convert_mask_images(tmp_path / 'src', tmp_path / 'out', 'semantic', {1: 'car'})  # noqa: E731
    if orientation > 4 and not of_mask:
        with pytest.raises(ValueError, match='no usable image.*height and width of its image, .60, 40., got .40, 60.'):
            convert()
        return
    told = [note for note in convert().notes if 'EXIF orientation' in note]
    assert len(told) == (orientation > 1)
    (found,) = load(tmp_path / 'out')['annotations']
    # the rectangle, turned by hand: 10..40 x 5..15 in 60 x 40
    turned = {2: [20, 5, 30, 10], 3: [20, 25, 30, 10], 4: [10, 25, 30, 10], 6: [25, 10, 10, 30], 8: [5, 20, 10, 30]}
    assert found['bbox'] == (turned[orientation] if of_mask and orientation > 1 else [10, 5, 30, 10])


def test_masks_that_several_files_or_pages_may_be(tmp_path):
    """Two files of one name and a stack of two pages are refused by name; a reduced copy in a TIFF is no page."""
    src = tmp_path / 'src'
    for name in 'abcd':
        write_image(src / f'images/{name}.jpg')
    mask = pixels([BAR]).astype(np.uint8)
    write_mask(src / 'masks/a.png', mask)
    write_mask(src / 'masks/b.png', mask)
    write_mask(src / 'masks/b.tif', 1 - mask)
    pages = [Image.fromarray(mask), Image.fromarray(1 - mask)]
    pages[0].save(src / 'masks/c.tif', save_all=True, append_images=pages[1:])
    small = Image.fromarray(mask[::2, ::2])
    small.encoderinfo = {'tiffinfo': {254: 1}}  # NewSubfileType: a reduced copy
    pages[0].save(src / 'masks/d.tif', save_all=True, append_images=[small])
    report = convert_mask_images(src, tmp_path / 'out', 'semantic', {1: 'car'}, options=FOUR)
    assert [image['file_name'] for image in load(tmp_path / 'out')['images']] == ['a.jpg', 'd.jpg']
    several, stack = report.skipped
    assert 'b.jpg: expected one mask, got 2' in several and 'b.png and' in several and 'b.tif' in several
    assert 'c.tif: expected a mask of one page' in stack


@pytest.mark.parametrize(('found', 'scaled'), [(85, True), (17, True), (5, False)])
def test_values_without_a_name_are_told_with_the_option(tmp_path, found, scaled):
    mask = pixels([BAR]).astype(np.uint8) * found
    write_image(tmp_path / 'src/images/a.jpg')
    write_mask(tmp_path / 'src/masks/a.png', mask)
    with pytest.raises(ValueError, match=rf"\['\({found}\)'\]; name the numbers to take with --values") as told:
        convert_mask_images(tmp_path / 'src', tmp_path / 'out', 'semantic', {1: 'car'})
    assert ('Grey PNG files of 2 or 4 bits are often scaled' in str(told.value)) == scaled
    mask[:3, :3] = 1
    write_mask(tmp_path / 'src/masks/a.png', mask)
    text = str(convert_mask_images(tmp_path / 'src', tmp_path / 'out', 'semantic', {1: 'car'}))
    assert (
        f'no class for them: ({found}) 1\n' in text and '--values' in text and ('1 becomes 85 or 17' in text) == scaled
    )
