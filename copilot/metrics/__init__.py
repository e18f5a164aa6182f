"""What programs tell Prometheus: their own plain counters and the state of the queue, over HTTP."""
