"""`python -m hexhub` is the command `hexhub`."""

from __future__ import annotations

from hexhub.cli import main

if __name__ == "__main__":
    main()
