// What pages gain with script: search as you type, copying, the theme without a reload, live numbers.
"use strict";

const field = document.querySelector("#search");
const hits = document.querySelector("#hits");

document.addEventListener("keydown", (event) => {
  const busy = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key === "/" && !busy && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    field.focus();
    field.select();
  }
});

// Copy buttons are made here: without script they could do nothing.
for (const block of document.querySelectorAll(".copy")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    const text = block.querySelector("pre").textContent;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(block.querySelector("pre"));
      button.textContent = "Selected";
    }
    button.classList.add("done");
    setTimeout(() => {
      button.textContent = "Copy";
      button.classList.remove("done");
    }, 2000);
  });
  block.append(button);
}

for (const form of document.querySelectorAll("form.theme")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const theme = event.submitter.value;
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    document.cookie = `theme=${theme}; path=/; max-age=31536000; samesite=lax`;
    for (const button of form.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button === event.submitter));
    }
  });
}

// Times in the reader's own zone, on hover.
for (const time of document.querySelectorAll("time[datetime]")) {
  const date = new Date(time.dateTime);
  if (!Number.isNaN(date.valueOf())) time.title = date.toLocaleString();
}

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

if (field && hits) {
  let waiting = 0;
  let asked = null;
  let chosen = -1;

  const close = () => {
    hits.hidden = true;
    chosen = -1;
    field.setAttribute("aria-expanded", "false");
    field.removeAttribute("aria-activedescendant");
  };
  const choose = (index) => {
    const options = hits.querySelectorAll("[role=option]");
    if (!options.length) return;
    chosen = (index + options.length) % options.length;
    options.forEach((option, at) => option.setAttribute("aria-selected", String(at === chosen)));
    options[chosen].scrollIntoView({ block: "nearest" });
    field.setAttribute("aria-activedescendant", options[chosen].id);
  };
  const show = (found) => {
    hits.replaceChildren();
    found.forEach((hit, at) => {
      const option = document.createElement("li");
      option.id = `hit-${at}`;
      option.role = "option";
      option.ariaSelected = "false";
      option.dataset.href = hit.url;
      for (const [tag, name, text] of [
        ["span", "kind", hit.kind],
        ["strong", "", hit.title],
        ["span", "what", hit.text],
      ]) {
        const part = document.createElement(tag);
        part.className = name;
        part.textContent = text;
        option.append(part);
      }
      option.addEventListener("mousedown", (event) => {
        event.preventDefault();
        location.href = hit.url;
      });
      hits.append(option);
    });
    if (!found.length) {
      const none = document.createElement("li");
      none.className = "none";
      none.role = "option";
      none.ariaDisabled = "true";
      none.id = "hit-0";
      none.textContent = "Nothing found";
      hits.append(none);
    }
    chosen = -1;
    hits.hidden = false;
    field.setAttribute("aria-expanded", "true");
  };
  const ask = async () => {
    const text = field.value.trim();
    if (asked) asked.abort();
    if (text.length < 2) return close();
    asked = new AbortController();
    try {
      const answer = await fetch(`/search.json?q=${encodeURIComponent(text)}`, { signal: asked.signal });
      if (answer.ok && document.activeElement === field) show(await answer.json());
    } catch (error) {
      if (error.name !== "AbortError") close();
    }
  };
  field.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(ask, 120);
  });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
    if (hits.hidden) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      choose(chosen + (event.key === "ArrowDown" ? 1 : -1));
    }
    if (event.key === "Enter" && chosen >= 0) {
      const option = hits.querySelectorAll("[role=option]")[chosen];
      if (option.dataset.href) {
        event.preventDefault();
        location.href = option.dataset.href;
      }
    }
  });
  field.addEventListener("blur", close);
}

// The home page draws its list anew when something was published.
const recent = document.querySelector("[data-newest]");
if (recent) {
  const look = async () => {
    if (document.hidden) return;
    try {
      const { newest } = await (await fetch("/recent.json")).json();
      if (newest === recent.dataset.newest) return;
      const text = await (await fetch("/", { headers: { Accept: "text/html" } })).text();
      const drawn = new DOMParser().parseFromString(text, "text/html").querySelector("[data-newest]");
      if (!drawn) return;
      recent.replaceChildren(...drawn.children);
      recent.dataset.newest = drawn.dataset.newest;
    } catch {
      // The hub is away for a moment: the next look will tell.
    }
  };
  setInterval(look, 10000);
  addEventListener("focus", look);
  document.addEventListener("visibilitychange", look);
}

// Numbers that move: an element with data-live names the stream, those inside with data-number a
// value, a text or a text and a class; data-share a part of a whole. What has ended is shown anew.
for (const live of document.querySelectorAll("[data-live]")) {
  const stream = new EventSource(live.dataset.live);
  stream.addEventListener("message", (event) => {
    const values = JSON.parse(event.data);
    for (const element of live.querySelectorAll("[data-number]")) {
      const value = values[element.dataset.number];
      if (value === undefined) continue;
      const [text, kind] = Array.isArray(value) ? value : [value, ""];
      element.textContent = text;
      if (kind) element.className = kind;
    }
    for (const bar of live.querySelectorAll("[data-share]")) {
      const share = values[bar.dataset.share];
      if (typeof share === "number") bar.value = share;
    }
    if (values.ended) {
      stream.close();
      location.reload();
    }
  });
}
