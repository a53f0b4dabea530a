"""Reading infrared images of 8 to 16 bits, or of temperatures, as they are stored, within limits."""

from .infrared_io import count_pages, read_infrared
from .readers import register_raw, register_reader

__all__ = ['count_pages', 'read_infrared', 'register_raw', 'register_reader']
