"""HexHub: a private Hex package repository, HexDocs server and caching mirror."""

__version__ = "0.1.0"
