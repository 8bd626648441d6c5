"""Members as processes that are killed, stopped and cut off from one another under load."""
