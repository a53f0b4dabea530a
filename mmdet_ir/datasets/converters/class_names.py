"""From the class names of a source to those of the data set that is written."""

from collections.abc import Iterable, Mapping

from ...cli import split_entry
from ..coco_files import CLASSES

FOUR = 'four'  # as --classes: the project's classes
# Names that mean one of the project's classes without doubt. Others ("other vehicle", "people", "rider", ...) are
# counted and reported, never guessed.
FOUR_CLASSES = {
    'human': 'human',
    'person': 'human',
    'pedestrian': 'human',
    'car': 'car',
    'bicycle': 'bicycle',
    'bike': 'bicycle',
    'uav': 'uav',
    'drone': 'uav',
}
NO_CLASS = '(no class)'  # stands for the name of an object that has none


def parse_classes(entries: Iterable[str]) -> dict[str, str]:
    """Read ``['human=person,pedestrian', 'car=car']``: the class to write, then the source's names for it.

    The entry ``four`` stands for the project's classes by their usual names.

    Returns:
        Class to write by the source's name, that one in lower case.

    Raises:
        ValueError: If an entry is not of this form, or a name is given to two classes.

    Example:
        >>> from mmdet_ir.datasets.converters import parse_classes
        >>> parse_classes(['human=person,Pedestrian', 'car=car'])
        {'person': 'human', 'pedestrian': 'human', 'car': 'car'}
    """
    form = f'class=name,name,..., such as human=person,pedestrian, or {FOUR}'
    classes = {}
    for entry in entries:
        if entry == FOUR:
            pairs = list(FOUR_CLASSES.items())
        else:
            target, names = split_entry('classes', entry, form)
            names = [name.strip() for name in names.split(',')]
            if not target.strip() or not all(names):
                raise ValueError(f'classes: expected {form}, got {entry!r}')
            pairs = [(name, target.strip()) for name in names]
        for name, target in pairs:
            known = classes.setdefault(name.casefold(), target)
            if known != target:
                raise ValueError(f'expected one class for the name {name!r}, got {known!r} and {target!r}')
    return classes


def own_classes(declared: Iterable[str], found: Iterable[str]) -> dict[str, str]:
    """The source's own names as classes: those that it declares in its order, then others that occur, sorted.

    Names that differ in nothing but upper and lower case or white space around them are one class.
    """
    classes = {}
    for name in [*declared, *sorted(set(found))]:
        if name.strip() and name != NO_CLASS:
            classes.setdefault(name.strip().casefold(), name.strip())
    return classes


def class_of(name: str, classes: Mapping[str, str]) -> str | None:
    """The class to write for a source's name, upper and lower case being the same; None if there is none."""
    return classes.get(name.strip().casefold())


def target_classes(classes: Mapping[str, str]) -> tuple[str, ...]:
    """Categories of the data set: the project's four if they suffice, else the classes to write, in given order."""
    targets = tuple(dict.fromkeys(classes.values()))
    return CLASSES if set(targets) <= set(CLASSES) else targets
