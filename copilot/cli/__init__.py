"""The commands: each reads its configuration, wires the parts together, runs them and ends with an exit code."""
