"""One text from old to new: the rules' decisions, the user's wishes, the edits and their check."""
