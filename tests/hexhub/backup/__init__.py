"""A hub in one file and back."""
