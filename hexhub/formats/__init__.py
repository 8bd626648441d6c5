"""Hex's formats: bytes <-> values. No IO, no settings, no clock."""
