"""Old against new on tensors, for `verify` and `bench`. Needs torch."""
