"""Class names of a source and of the data set."""

from mmdet_ir.datasets.converters import parse_classes
from mmdet_ir.datasets.converters.class_names import FOUR_CLASSES, class_of, own_classes, target_classes

import pytest


def test_class_names():
    assert parse_classes(['human=person, Pedestrian', 'ship=vessel']) == {
        'person': 'human',
        'pedestrian': 'human',
        'vessel': 'ship',
    }
    assert class_of(' PERSON', FOUR_CLASSES) == 'human'
    assert class_of('other vehicle', FOUR_CLASSES) is None and class_of('people', FOUR_CLASSES) is None
    # The project's four in the project's order where they suffice, else those of the user.
    assert target_classes({'a': 'car', 'b': 'human'}) == ('human', 'car', 'bicycle', 'uav')
    assert target_classes({'a': 'ship', 'b': 'human', 'c': 'ship'}) == ('ship', 'human')


@pytest.mark.parametrize('entry', ['human', 'human=', '=person', 'human=person,,rider'])
def test_class_names_refused(entry):
    with pytest.raises(ValueError, match=f"expected class=name,name,.* got '{entry}'"):
        parse_classes([entry])


def test_a_name_has_one_class():
    with pytest.raises(ValueError, match="one class for the name 'Person', got 'human' and 'car'"):
        parse_classes(['human=person', 'car=Person'])


def test_four_classes_by_their_usual_names():
    assert parse_classes(['four', 'ship=vessel']) == FOUR_CLASSES | {'vessel': 'ship'}


def test_own_classes():
    """Declared ones first, then others sorted; one class for names that differ in case and white space."""
    assert own_classes(['dog', 'Car'], ['person', 'CAR ', 'bike', '(no class)']) == {
        'dog': 'dog',
        'car': 'Car',
        'bike': 'bike',
        'person': 'person',
    }
