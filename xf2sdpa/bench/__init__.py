"""Measure the performance guide's claims on this machine."""
