"""The agent: asks for jobs, runs them, delivers their output."""
