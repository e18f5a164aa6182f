"""A real Graphite for the tests: Carbon's cache and aggregator, Whisper, and graphite-web, as PyPI has them."""
