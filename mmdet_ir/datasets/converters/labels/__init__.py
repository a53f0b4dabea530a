"""Files of labelling tools."""
