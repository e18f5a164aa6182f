"""Which job may run on which host: requirements of jobs (ClassAd expressions) and what hosts say of themselves (JDL)."""
