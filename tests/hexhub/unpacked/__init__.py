"""Tests of hexhub.unpacked."""
