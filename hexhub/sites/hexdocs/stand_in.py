"""Storage for pages without an origin: what a sandboxed page gets in place of the browser's.

Such a page has no `localStorage`, and asking for it throws, which ends the scripts of ExDoc and of
others. The stand-in lies in front of the page's own scripts. What is kept goes along in the tab's
`window.name`, so that a theme or an open menu outlives the page; the pages of another package find
it empty, since the stand-in of theirs runs before they do.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

THEMES = ("light", "dark")
SETTINGS = "ex_doc:settings"
"""Where ExDoc keeps what its reader chose."""

_SCRIPT = (
    "<script>(()=>{try{localStorage;return}catch{}"
    "const mark=%s,kept=[new Map(%s),new Map()];"
    'const was=String(window.name);if(was.startsWith("hexhub "))window.name="";'
    "if(was.startsWith(mark))try{JSON.parse(was.slice(mark.length)).forEach((all,at)=>"
    "all.forEach(([name,value])=>kept[at].set(String(name),String(value))))}catch{}"
    "const save=()=>{const text=mark+JSON.stringify(kept.map(each=>[...each]));"
    "if(text.length<65536)window.name=text};"
    "if(was.startsWith(mark))save();"
    '["localStorage","sessionStorage"].forEach((which,at)=>{const map=kept[at],own={'
    "getItem:name=>map.get(String(name))??null,"
    "setItem:(name,value)=>{map.set(String(name),String(value));save()},"
    "removeItem:name=>{map.delete(String(name));save()},clear:()=>{map.clear();save()},"
    "key:at=>[...map.keys()][at]??null,get length(){return map.size}};"
    "const value=new Proxy(own,{get:(it,name)=>name in it?it[name]:map.get(name),"
    'has:(it,name)=>name in it||map.has(name),set:(it,name,value)=>(typeof name=="string"&&'
    "it.setItem(name,value),true),deleteProperty:(it,name)=>(it.removeItem(name),true),"
    "ownKeys:()=>[...map.keys()],getOwnPropertyDescriptor:(it,name)=>map.has(name)?"
    "{value:map.get(name),enumerable:true,configurable:true,writable:true}:undefined});"
    "Object.defineProperty(window,which,{value,configurable:true})})})()</script>"
)


def script(base: str, theme: str) -> bytes:
    """The stand-in for pages below `base`, which start with the theme that was chosen for the hub."""
    return _script(base, theme if theme in THEMES else "")


@lru_cache(256)
def _script(base: str, theme: str) -> bytes:
    first: list[tuple[str, str]] = []
    if theme:
        settings = msgspec.json.encode({"theme": theme, "tooltips": True}).decode()
        first = [(SETTINGS, settings), ("night-mode", "true" if theme == "dark" else "false")]
    mark = _quoted(f"hexhub {base} ")
    return (_SCRIPT % (mark, _quoted(first))).encode()


def _quoted(value: object) -> str:
    """A value as script that cannot end the element it stands in."""
    return msgspec.json.encode(value).decode().replace("<", "\\u003c")
