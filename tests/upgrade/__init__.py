"""Newer code on older data: the commit in BASE, and small stores that earlier formats wrote.

`format-N.tar.gz` is a data directory and `backup-N.tar.gz` a backup, each written by a node of
format N and never changed again (`python -m tests.upgrade.write N` wrote them).
"""
