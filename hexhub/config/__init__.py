"""Every setting of a node: where it may be written, what it may be, what holds (design §10)."""

from hexhub.config.loading import DEFAULT, Setting, check_listening, describe, find_checkout, load
from hexhub.config.reference import reference
from hexhub.config.settings import Config, declared
from hexhub.config.values import STARS, Network, Secret

__all__ = [
    "DEFAULT",
    "STARS",
    "Config",
    "Network",
    "Secret",
    "Setting",
    "check_listening",
    "declared",
    "describe",
    "find_checkout",
    "load",
    "reference",
]
