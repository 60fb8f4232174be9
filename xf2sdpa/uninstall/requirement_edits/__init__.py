"""Requirement files: xformers taken out, torch's lower bound raised. One format, one file; by splices of the text.

A splice leaves all else as it was, to the byte: comments, markers, hashes, continued lines, order, newlines. What came
of it is held against the format's own parser (`same`), and a file that does not pass stays as it was.
"""
