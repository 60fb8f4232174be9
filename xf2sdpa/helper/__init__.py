"""The helper module that is copied into a project: its text, its place, its copies."""
