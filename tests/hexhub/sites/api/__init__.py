"""Tests of hexhub/sites/api."""
