"""Hand-off to labelling tools, which read 8 bits: copies with a manifest, labels of a model, labels to the counts."""

from .back import labels_back
from .copies import make_copies
from .prelabels import FORMATS, write_prelabels

__all__ = ['FORMATS', 'labels_back', 'make_copies', 'write_prelabels']
