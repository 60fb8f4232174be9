"""Self-contained HTML pages with tables and charts, for verify and bench."""
