"""The heartbeat: asks components how they fare."""
