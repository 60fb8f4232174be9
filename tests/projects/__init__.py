"""Small example packages, and what it takes to run one before and after its migration."""
