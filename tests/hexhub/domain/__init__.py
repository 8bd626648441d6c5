"""Tests of hexhub/domain."""
