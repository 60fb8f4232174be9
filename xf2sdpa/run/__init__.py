"""A run over many files: options, jobs, processes, the order of passes, writing back."""
