"""Edits as plain data on `ast` nodes, carried out on LibCST's tree, and the check of the result."""
