"""Files as bytes and text: which there are, what they hold, and writing them back. Nothing here parses Python."""
