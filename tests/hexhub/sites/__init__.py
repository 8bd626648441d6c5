"""Tests of hexhub/sites."""
