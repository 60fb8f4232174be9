"""The output formats, one per file; `words` and `baseline` are shared. They only present results."""
