"""A program that would notice a shadow: run by tests/verify/test_shadow.py with and without one, in its own process."""
