"""SPDX license ids: current, deprecated, custom, and none."""

from __future__ import annotations

import pytest

from hexhub.formats.spdx import is_license


@pytest.mark.parametrize(
    "text",
    [
        *("MIT", "Apache-2.0", "BSD-3-Clause", "MPL-2.0", "ISC", "0BSD", "Unlicense", "CC0-1.0"),
        *("GPL-3.0-only", "GPL-3.0-or-later", "LGPL-2.1-or-later", "AGPL-3.0-only", "EUPL-1.2"),
        *("GPL-3.0", "GPL-2.0+", "LGPL-2.1", "AGPL-3.0", "eCos-2.0", "BSD-2-Clause-FreeBSD"),
        *("GPL-2.0-with-classpath-exception", "GPL-2.0-with-bison-exception"),
        *("LicenseRef-Odd.Value-1", "LicenseRef-proprietary"),
    ],
)
def test_a_license_id_is_one(text: str) -> None:
    assert is_license(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "mit", "MIT ", "MIT License", "Apache 2.0", "Apache-2", "BSD", "GPL", "MIT OR ISC"),
        *("Classpath-exception-2.0", "GCC-exception-3.1", "LicenseRef-", "licenseref-x"),
        *(
            "LicenseRef-a b",
            "LicenseRef-å",
            "LicenseRef-scancode/x",
            "NONE",
            "MIT\n",
            "LicenseRef-a\n",
        ),
    ],
)
def test_any_other_text_is_none(text: str) -> None:
    assert not is_license(text)
