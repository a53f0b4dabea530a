"""Faults of MMDetection 3.3 that give wrong results, or that no message explains, each mended where it is."""
