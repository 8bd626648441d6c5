"""Tests of Hex's formats against the golden files and hostile bytes."""
