// Docs pages run in a sandbox without an origin, where storage throws. Tools that keep a theme or a
// sidebar's width there get storage that lasts as long as the page.
"use strict";
(() => {
  const made = () => {
    const kept = new Map();
    return {
      getItem: (name) => (kept.has(String(name)) ? kept.get(String(name)) : null),
      setItem: (name, value) => void kept.set(String(name), String(value)),
      removeItem: (name) => void kept.delete(String(name)),
      clear: () => kept.clear(),
      key: (at) => [...kept.keys()][at] ?? null,
      get length() {
        return kept.size;
      },
    };
  };
  for (const name of ["localStorage", "sessionStorage"]) {
    try {
      window[name].getItem("");
    } catch {
      Object.defineProperty(window, name, { value: made(), configurable: true });
    }
  }
})();
