"""What the hub of the browser tests holds: good packages, and ones whose authors mean harm."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from tests.end_to_end.node import RunningNode
from tests.end_to_end.packages import Requirement, docs_archive, tarball

README = """# Lantern

A small cache for **Elixir**, see the [changelog](CHANGELOG.md).

```elixir
def deps do
  [{:lantern, "~> 1.1"}]
end
```

| Option | Default |
|---|---|
| `:ttl` | `:infinity` |

- [x] storage
- [ ] invalidation
"""

EVIL_README = """# Evil <script>window.hacked = 1</script>

<img src=x onerror="window.hacked = 1"> <svg onload="window.hacked = 1"></svg>
<a id="clicked" href="javascript:window.hacked = 1">click me</a>
<style>* { display: none !important }</style>
<p style="position: fixed; inset: 0; background: red">over everything</p>
![outside](https://tracker.example.org/pixel.gif)
<iframe src="/dashboard"></iframe><form action="/logout" method="post"><button>x</button></form>
"""

MODULE = """
const out = document.querySelector("#out");
const before = localStorage.getItem("theme");
localStorage.setItem("theme", "night");
localStorage.opened = Number(localStorage.opened || 0) + 1;
await document.fonts.ready;
const menu = document.querySelector("select");
for (const each of window.versionNodes || []) {
  menu.add(new Option(each.version, each.url, each.latest, document.title.endsWith(each.version)));
}
menu.addEventListener("change", async () => {
  const there = `${menu.value}/${location.pathname.split("/").pop()}`;
  const found = await fetch(there, { method: "HEAD" }).then((answer) => answer.ok, () => false);
  location.href = found ? there : menu.value;
});
const module = await import("./part-0A1B2C3D.js");
out.textContent = JSON.stringify({
  before,
  theme: localStorage.getItem("theme"),
  kept: Object.keys(localStorage).sort().join(),
  versions: window.versionNodes ? versionNodes.map((each) => each.version) : null,
  items: window.searchData ? searchData.items.length : null,
  part: module.part,
  colour: getComputedStyle(document.body).color,
});
"""

EVIL_DOCS = """
const seen = {};
const attempt = async (name, work) => {
  try { seen[name] = await work(); } catch (error) { seen[name] = "refused"; }
};
await attempt("cookie", () => document.cookie || "none");
await attempt("origin", () => String(self.origin));
await attempt("dashboard", async () => (await fetch("/dashboard", { credentials: "include" })).status);
await attempt("keys", async () => (await fetch("/api/keys", { credentials: "include" })).status);
await attempt("frame", () => new Promise((done) => {
  const frame = document.createElement("iframe");
  frame.onload = () => { try { done(frame.contentDocument ? "read" : "closed"); } catch { done("closed"); } };
  frame.src = "/dashboard";
  document.body.append(frame);
}));
await attempt("opened", () => {
  const other = window.open("/dashboard");
  return other && other.document ? "read" : "closed";
});
document.querySelector("#out").textContent = JSON.stringify(seen);
"""


@dataclass(frozen=True)
class Filled:
    """A node with content, and keys of its people."""

    node: RunningNode
    mara: str
    tomas: str

    @property
    def url(self) -> str:
        return self.node.url

    def publish_docs(
        self, name: str, version: str, pages: Mapping[str, bytes], organization: str | None = None
    ) -> None:
        where = f"/repos/{organization}" if organization else ""
        answer = self.node.request(
            "POST",
            f"/api{where}/packages/{name}/releases/{version}/docs",
            key=self.mara,
            body=docs_archive(pages),
            headers={"content-type": "application/octet-stream", "accept": "application/json"},
        )
        assert answer.status == 201, answer.body


def fill(node: RunningNode) -> Filled:
    """Publish everything."""
    for name in ("mara", "tomas", "eve"):
        node.create_user(name)
    node.command("user", "admin", "mara")
    node.create_organization("acme", "mara")
    hub = Filled(node, node.create_key("mara", "api"), node.create_key("tomas", "api"))
    node.must_publish(tarball("decimal", "2.0.0", {"README.md": b"# Decimal"}), hub.mara)
    needs = {"decimal": Requirement("~> 2.0")}
    for version in ("1.0.0", "1.1.0"):
        files = {
            "README.md": README.encode(),
            "CHANGELOG.md": f"# {version}\n".encode(),
            "lib/lantern.ex": f'defmodule Lantern do\n  def version, do: "{version}"\nend\n'.encode(),
        }
        tar = tarball("lantern", version, files, requirements=needs, build_tools=("mix",))
        node.must_publish(tar, hub.mara)
        hub.publish_docs("lantern", version, ex_doc("lantern", version))
    node.must_publish(tarball("evil", "1.0.0", {"README.md": EVIL_README.encode()}), hub.mara)
    evil = (
        "<!doctype html><title>Evil</title><body><p id=out></p>"
        "<form id=f action=/logout method=post><input name=csrf value=x></form>"
        f"<script type=module>{EVIL_DOCS}</script>"
    )
    hub.publish_docs("evil", "1.0.0", {"index.html": evil.encode()})
    for version in ("1.0.0", "1.1.0"):
        node.must_publish(tarball("ledger", version, {"README.md": b"# Ledger"}), hub.mara, "acme")
        hub.publish_docs("ledger", version, ex_doc("ledger", version), "acme")
    return hub


def ex_doc(name: str, version: str) -> dict[str, bytes]:
    """Documentation in the shape of ExDoc's: hashed assets, modules, search data, a version menu."""
    module = name.capitalize()
    page = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{module} v{version}</title>"
        '<link rel="stylesheet" href="dist/html-elixir-1A2B3C4D.css">'
        '<script src="docs_config.js" defer></script>'
        '<script src="dist/search_data-AABBCCDD.js" defer></script>'
        '<script src="dist/html-9F8E7D6C.js" type="module"></script></head>'
        f'<body><select aria-label="Version"></select>'
        f'<main><h1>{module} v{version}</h1><p id="out">no script ran</p>'
        f'<a href="{module}.html">{module}</a></main></body></html>'
    ).encode()
    items = [
        {"type": "module", "title": module, "ref": f"{module}.html", "doc": "Keeps things warm."},
        {
            "type": "function",
            "title": f"{module}.kindle/2",
            "ref": f"{module}.html#kindle/2",
            "doc": "Kindles a flame under a key.",
        },
    ]
    return {
        "index.html": page,
        f"{module}.html": page,
        "404.html": page,
        "search.html": page,
        "dist/html-elixir-1A2B3C4D.css": b"body { color: rgb(1, 2, 3) }",
        "dist/html-9F8E7D6C.js": MODULE.encode(),
        "dist/part-0A1B2C3D.js": b'export const part = "imported";',
        "dist/search_data-AABBCCDD.js": b"searchData=" + json.dumps({"items": items}).encode(),
    }
