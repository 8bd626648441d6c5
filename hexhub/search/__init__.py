"""Finding things: packages by what is known of them, documentation by its text.

Both are derived from tables and stored archives, on each node, and can be built again at any time.
"""

from __future__ import annotations

from hexhub.search.catalogue import Catalogue, Listed, Published
from hexhub.search.docs import DocsSearch
from hexhub.search.index import Hit
from hexhub.search.query import Query

__all__ = ["Catalogue", "DocsSearch", "Hit", "Listed", "Published", "Query"]
