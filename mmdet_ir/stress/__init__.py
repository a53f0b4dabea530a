"""What happens at the limits: large data sets, killed runs, damaged files."""
