"""Each check of `copilot doctor` fails on a set-up that is broken in just that way, with real servers."""
