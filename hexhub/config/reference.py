"""docs/configuration.md, made from the declarations, so that the two cannot differ."""

from __future__ import annotations

from hexhub.config.settings import Declared, declared

BEGIN = "<!-- settings: printed by `hexhub config reference` -->"

_GROUPS = {
    "hex_test_mode": "The node",
    "data_dir": "Data and secrets",
    "storage_type": "Storage",
    "backup_dir": "Backups",
    "clustering_enabled": "The cluster",
    "registration": "Who may do what",
    "upstream_enabled": "The upstream",
}
"""The first setting of each group."""

_HEAD = ("| setting | default | meaning | taken up by |", "|---|---|---|---|")


def reference() -> str:
    """A table of settings for each group, in the order of declaration, as Markdown."""
    lines = [BEGIN, ""]
    for name, about in declared().items():
        if name in _GROUPS:
            lines += [f"## {_GROUPS[name]}", "", *_HEAD]
        lines.append(_row(name, about))
        following = list(declared())
        place = following.index(name) + 1
        if place < len(following) and following[place] in _GROUPS:
            lines.append("")
    return "\n".join(lines) + "\n"


def _row(name: str, about: Declared) -> str:
    written = about.written(name)
    names = [f"`{written}`", *(f"`{older}` (older name)" for older in about.older)]
    if about.secret:
        names.append(f"`{written}_FILE`")
    default = about.default_text or "none"
    unit = f" ({about.unit})" if about.unit else ""
    taken_up = "reload" if about.live else "restart"
    return f"| {', '.join(names)} | {_cell(default)}{unit} | {_cell(about.meaning)} | {taken_up} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
