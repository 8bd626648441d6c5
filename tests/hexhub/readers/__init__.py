"""Reader processes beside a hub."""
