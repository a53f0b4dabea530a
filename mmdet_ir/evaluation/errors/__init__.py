"""Which detections are right, and what kinds of errors the others are."""
