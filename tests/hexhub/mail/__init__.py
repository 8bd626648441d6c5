"""Tests of hexhub/mail."""
