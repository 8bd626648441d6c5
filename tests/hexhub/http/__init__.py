"""Tests of what every site shares: requests, negotiation, bodies, answers."""
