"""The commands in `scripts/`, run in a copy of the checkout."""
