"""A run as text, JSON, Markdown or an HTML page: `tables` makes the content, the other modules one format each."""
