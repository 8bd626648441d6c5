"""Tests of hexhub.sites.hexdocs."""
