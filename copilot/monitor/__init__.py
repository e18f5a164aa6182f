"""The monitor: gathers events and hands them to Carbon."""
