"""Tests of HexHub."""
