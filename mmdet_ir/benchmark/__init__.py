"""How fast models, their forms and losses, data loading and COCO evaluation are, compared in one run."""
