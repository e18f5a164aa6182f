"""The job manager: gives jobs to agents."""
