"""The storage manager: takes outputs and settles jobs."""
