"""Other systems that run many small jobs, doing the same work as Co-Pilot on the same machine; see `run`."""
