"""Mails on their way out: how they read, and how they reach a mail server (http-api.md §4.9)."""

from hexhub.mail.sender import Sender
from hexhub.mail.text import Written, write

__all__ = ["Sender", "Written", "write"]
