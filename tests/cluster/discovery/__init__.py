"""Ways to find other members."""
