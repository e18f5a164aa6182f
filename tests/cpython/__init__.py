"""CPython's own tests of executors, run on ours."""
