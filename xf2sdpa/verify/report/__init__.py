"""One output format, one file; `words` and `baseline` are shared. A report reads results; it decides nothing."""
