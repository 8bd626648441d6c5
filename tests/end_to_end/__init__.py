"""Real node processes met by real clients: rebar3, mix, and replays of their requests."""
