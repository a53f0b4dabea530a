"""All checks of a COCO dictionary, in the order in which they depend on each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike

from .checks.boxes import (
    check_area,
    check_bounds,
    check_box_convention,
    check_boxes,
    check_copies,
    check_fields,
    check_left_out,
)
from .checks.classes import check_balance, check_classes
from .checks.masks import Masks, as_masks, check_masks, check_shapes
from .checks.parts import check_holes, measure_parts
from .checks.structure import Sound, check_structure
from .checks.table import AnnotationTable, as_table
from .files import missing_images
from .problem import Problem


@dataclass(frozen=True)
class Needs:
    """What a data set has to offer.

    Attributes:
        classes: Class names in the order of the labels; None: whatever the file has.
        masks: Whether the pipeline loads masks; None if no pipeline is known.
        rle_allowed: Whether it can read RLE masks.
        image_key: Field of the images that names the file to load.
        folder: Where the image files are; None: they are not looked for.
        settings: Of ``read_infrared``, as the pipeline has them; None for its defaults.
    """

    classes: Sequence[str] | None = None
    masks: bool | None = None
    rle_allowed: bool = True
    image_key: str = 'file_name'
    folder: str | PathLike | None = None
    settings: dict | None = None


def structure_and_boxes(coco: dict, image_key: str = 'file_name') -> tuple[Sound, AnnotationTable, list[Problem]]:
    """What every reader of COCO files relies on."""
    sound = check_structure(coco, image_key)
    table = as_table(sound)
    return sound, table, sound.problems + ([] if sound.fatal else check_boxes(table))


def check_for_training(coco: dict, needs: Needs) -> list[Problem]:
    """What would stop or falsify training, and what training leaves out (severity ``warning``)."""
    sound, table, problems = structure_and_boxes(coco, needs.image_key)
    if sound.fatal:
        return problems
    problems += check_classes(sound, table, needs.classes) if needs.classes is not None else []
    masks = as_masks(table)
    problems += check_fields(table)
    problems += check_box_convention(table, masks)
    problems += check_left_out(table)
    problems += check_masks(table, masks, needs.masks, needs.rle_allowed) if needs.masks is not False else []
    return problems + _check_folder(sound, needs)


def _check_folder(sound: Sound, needs: Needs) -> list[Problem]:
    return [] if needs.folder is None else missing_images(sound.images, needs.folder, needs.image_key)


def check_everything(coco: dict, needs: Needs) -> tuple[list[Problem], Sound, AnnotationTable, Masks | None]:
    """``check_for_training`` and everything else that annotations tell without their images."""
    sound, table, problems = structure_and_boxes(coco, needs.image_key)
    if sound.fatal:
        return problems, sound, table, None
    classes = needs.classes
    masks = as_masks(table)
    problems += check_classes(sound, table, classes) if classes is not None else []
    problems += check_fields(table)
    convention = check_box_convention(table, masks)
    problems += convention
    problems += check_left_out(table)
    problems += check_masks(table, masks, needs.masks, needs.rle_allowed)
    parts = measure_parts(masks, table.size)
    if not convention:  # otherwise these would repeat it for each box
        problems += check_bounds(table)
        problems += check_shapes(table, masks)
        problems += check_holes(table, parts)
    problems += check_area(table, masks, parts)
    problems += check_copies(table)
    problems += _check_folder(sound, needs)
    names = [category['name'] for category in sound.categories]
    return problems + check_balance(sound, table, names if classes is None else classes), sound, table, masks
