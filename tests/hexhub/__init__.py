"""Tests of the registry application; the tree mirrors `hexhub/`."""
