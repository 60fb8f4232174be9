"""Whole programs, made at random, rewritten, and run before and after."""
