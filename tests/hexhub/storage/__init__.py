"""Tests of stored objects and bodies on their way in."""
