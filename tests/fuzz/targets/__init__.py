"""One file for each thing that reads what others write: `run(data)` raises only where there is a bug."""
