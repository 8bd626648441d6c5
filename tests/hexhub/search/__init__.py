"""Tests of hexhub.search."""
