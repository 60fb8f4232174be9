"""Compares the old and the new way of computing a call on tensors, for `verify` and `bench`. Needs torch."""
