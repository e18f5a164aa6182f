"""What turns for every component: events in, actions out, one loop."""
