"""Tests of hexhub.rendering."""
