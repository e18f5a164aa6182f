"""The embedded default: private servers and all components on one machine, for a demo, a laptop or the tests."""
