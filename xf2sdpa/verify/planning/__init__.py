"""Plans the verification of a project: the old texts and each call site's two sides. No torch; runs no user code."""
