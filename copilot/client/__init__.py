"""Submitting jobs and following them, for commands and programs that can reach the queue and the file area."""
