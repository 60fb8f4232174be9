"""What rules stand on: the drafts they fill in, and the questions that several of them ask."""
