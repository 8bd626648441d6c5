"""Tests of the replicated store, in the order of its promises."""
