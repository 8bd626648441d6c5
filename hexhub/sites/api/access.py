"""The rules that routes of the API name (http-api.md §2.8)."""

from __future__ import annotations

from hexhub.http.routes import Access

OPEN = Access("anyone", verified=False)
"""Also while ANONYMOUS_READ keeps everything else from nobody: what makes or tests a credential."""
VISITOR = Access("anyone, where anonymous reads are on", verified=False)
READER = Access("who may see it", permission="read")
ACCOUNT = Access("a person or organization", credentials=True, permission="read")
KEY_MAKER = Access("the owner of the keys", credentials=True, permission="write", verified=False)
KEY_READER = Access("the owner of the keys", credentials=True, permission="read")
KEY_OWNER = Access("the owner of the keys", credentials=True, permission="write")
CREDENTIAL = Access("any credential", credentials=True)
PUBLISHER = Access(
    "owners, maintainers included", credentials=True, permission="write", package=True
)
UPLOADER = Access("owners, maintainers included", verified=False)
"""As PUBLISHER, but the package is known only once the tarball has been read (http-api.md §3.7)."""
ORGANIZATION_ADMIN = Access("administrators of the organization", permission="write")
MAINTAINER = Access("owners, maintainers included", permission="write", package=True)
FULL_OWNER = Access("full owners", permission="write", package=True)
