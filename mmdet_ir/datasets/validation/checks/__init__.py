"""What is checked in the annotations of a data set."""
