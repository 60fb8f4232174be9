"""One forge, one file: the few requests that the bot makes, in the words of each API."""
