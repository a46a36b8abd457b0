"""Rejected rows: written to a file, fixed by a person, and sent again."""
