"""From the class names of a source to those of the data set that is written."""

from collections.abc import Iterable, Mapping

from ...cli import split_entry
from ..coco_files import CLASSES

# Names that mean one of the project's classes without doubt. Others ("other vehicle", "people", "rider", ...) are
# counted and reported, never guessed.
DEFAULT_CLASSES = {
    'human': 'human',
    'person': 'human',
    'pedestrian': 'human',
    'car': 'car',
    'bicycle': 'bicycle',
    'bike': 'bicycle',
    'uav': 'uav',
    'drone': 'uav',
}


def parse_classes(entries: Iterable[str]) -> dict[str, str]:
    """Read ``['human=person,pedestrian', 'car=car']``: the class to write, then the source's names for it.

    Returns:
        Class to write by the source's name, that one in lower case.

    Raises:
        ValueError: If an entry is not of this form, or a name is given to two classes.
    """
    form = 'class=name,name,..., such as human=person,pedestrian'
    classes = {}
    for entry in entries:
        target, names = split_entry('classes', entry, form)
        names = [name.strip() for name in names.split(',')]
        if not target.strip() or not all(names):
            raise ValueError(f'classes: expected {form}, got {entry!r}')
        for name in names:
            known = classes.setdefault(name.casefold(), target.strip())
            if known != target.strip():
                raise ValueError(f'expected one class for the name {name!r}, got {known!r} and {target.strip()!r}')
    return classes


def class_of(name: str, classes: Mapping[str, str]) -> str | None:
    """The class to write for a source's name, upper and lower case being the same; None if there is none."""
    return classes.get(name.strip().casefold())


def target_classes(classes: Mapping[str, str]) -> tuple[str, ...]:
    """Categories of the data set: the project's four if they suffice, else the classes to write, in given order."""
    targets = tuple(dict.fromkeys(classes.values()))
    return CLASSES if set(targets) <= set(CLASSES) else targets
