"""One output format, one file. A report reads results; it decides nothing."""
