"""What can be verified of a project: the old text, and each call site's two sides. Static: no torch, nothing is run."""
