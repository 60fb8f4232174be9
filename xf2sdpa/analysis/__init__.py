"""What the code says, read from the standard `ast`: names, ranks, masks. Nothing here edits."""
