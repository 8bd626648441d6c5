"""The faces of a node; strangers to one another."""
