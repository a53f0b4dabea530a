"""Whether weights, heads and losses belong to a model and its data."""
