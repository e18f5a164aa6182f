"""What a manager tells Prometheus: its own plain counters and the state of the queue, over HTTP."""
