"""Colours that stay apart under the common kinds of colour blindness; none of them is the red of errors."""

import numpy as np

from ..palette import palette_for

# Okabe & Ito, "Color Universal Design", 2008, without vermilion and black; last a grey.
_OKABE_ITO = ('#56b4e9', '#f0e442', '#009e73', '#cc79a7', '#e69f00', '#0072b2', '#999999')
LINES = ('#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9', '#000000', '#b3a800', '#999999')  # on white
ERROR = '#ff2020'


def class_colors(number: int) -> np.ndarray:
    """Colours of masks on grey pictures: shape (number, 3), RGB in 0..1; seven, then others that differ from them."""
    base = [tuple(int(color[i : i + 2], 16) for i in (1, 3, 5)) for color in _OKABE_ITO]
    return np.array(palette_for(number, base)).reshape(-1, 3) / 255


def line_color(index: int) -> str:
    """Colour of the curves or bars of a model, by its number."""
    return LINES[index % len(LINES)]
