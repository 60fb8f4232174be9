"""H200 backend flags in entry points: the table of flags, the block that sets them, and the user's own settings."""
