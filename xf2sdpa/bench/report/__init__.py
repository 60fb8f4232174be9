"""What a run found, as text, JSON, Markdown or an HTML page: `tables` says what stands where, the others how."""
