"""Doubles of the APIs of three forges, which keep state in `Repo` and `Pull`: one forge, one file."""
