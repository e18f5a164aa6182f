"""New agents come in by bundles: what managers do for it, and what agents do."""
