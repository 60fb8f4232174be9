"""Old against new on the same inputs, with float64 as the judge."""
