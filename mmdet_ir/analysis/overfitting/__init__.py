"""Whether a model can learn a few images by heart."""
