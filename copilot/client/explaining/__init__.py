"""Why a job does not run, and why it failed: what is read for it, and what is made of it (decision 22)."""
