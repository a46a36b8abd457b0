"""A run: the straight line in run.py, and what it uses. Read run.py first."""
