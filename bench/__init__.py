"""What Co-Pilot can do, measured: `make bench` prints each goal with its figure; see `bench.run`."""
