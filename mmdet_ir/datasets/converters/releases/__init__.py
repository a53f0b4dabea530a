"""Data sets as their releases lay them out."""
