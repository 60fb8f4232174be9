"""The helper module that is copied into a project: its text, the folder it goes to, and existing copies."""
