"""Runs a program with its old calls, and computes the new ones beside them on copies. This file imports nothing."""
