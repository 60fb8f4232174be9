"""What the code of one file says, read from the standard `ast`: names, ranks, dtypes, masks. Nothing here edits."""
