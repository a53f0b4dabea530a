"""mmcv's operators on torchvision's kernels, with the signatures and in-place outputs of mmcv's C extension."""
