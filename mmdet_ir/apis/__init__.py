"""What the tools call, for importers too: training, testing, inference and export."""
