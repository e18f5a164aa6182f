"""The dashboard: one page for a browser, and the answers that it asks for. It only reads (decision 0014),
unless people may log in (`doing.py`, decision 0022)."""
