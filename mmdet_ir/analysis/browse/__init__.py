"""A page that shows a data set as the model sees it."""
