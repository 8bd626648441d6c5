"""Tests of where registry resources come from."""
