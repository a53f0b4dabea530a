"""Feature maps before and after the layers of a neck."""
