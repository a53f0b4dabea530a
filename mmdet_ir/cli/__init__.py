"""What every tool shares: errors in one line, NAME=FILE, common options."""
