"""A program that would notice a shadow: run by tests/verify/shadow/ with and without one, in its own process."""
