"""The queue: one port, a version in memory and one in Redis, held together by one contract suite."""
