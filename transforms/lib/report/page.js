"use strict";
// What every page of Winnow does: theme, copying, sorting tables, searching cards. Without it the page still reads.

const all = (selector, root = document) => [...root.querySelectorAll(selector)];

function theme() {
  const button = document.getElementById("theme");
  const names = ["auto", "light", "dark"];
  let now = "auto";
  try { now = localStorage.getItem("winnow-theme") || now; } catch { /* a page without storage */ }
  const show = () => {
    if (now === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = now;
    button.textContent = `Theme: ${now}`;
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    now = names[(names.indexOf(now) + 1) % names.length];
    try { localStorage.setItem("winnow-theme", now); } catch { /* as above */ }
    show();
  });
  show();
}

// Commands name the output folder, which the page itself does not: equal selections have equal pages. It is where the
// page lies, if that is a disk; elsewhere it stays OUT.
function placed(command) {
  if (location.protocol !== "file:") return command;
  const depth = Number(document.body.dataset.depth || 0);
  const folder = decodeURIComponent(location.pathname).split("/").slice(0, -1 - depth).join("/") || "/";
  const quoted = /^[\w@%+=:,./-]+$/.test(folder) ? folder : `'${folder.replaceAll("'", `'"'"'`)}'`;
  return command.replace("--output OUT", () => `--output ${quoted}`);
}

function say(text) {
  const toast = document.getElementById("toast");
  toast.textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { toast.textContent = ""; }, 4000);
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {  // a page that may not use the clipboard: select, and let the browser copy
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    if (!done) return say(`Copy this: ${text}`);
  }
  say(`Copied: ${text}`);
}

function copying() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-copy], button[data-copy-of], button[data-uid]");
    if (!button) return;
    const prefix = document.body.dataset.explain || "";
    const suffix = document.body.dataset.explainEnd || "";
    if (button.dataset.uid) copy(placed(prefix + button.dataset.uid + suffix));
    else copy(button.dataset.copy || document.getElementById(button.dataset.copyOf).textContent);
  });
}

function sorting() {
  for (const table of all("table.sortable")) {
    const heads = all("thead th", table);
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") !== "descending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
        const order = (a, b) => {
          const [x, y] = [value(a), value(b)];
          const byNumber = x !== "" && y !== "" && !isNaN(x) && !isNaN(y);
          return byNumber ? x - y : x.localeCompare(y);
        };
        const rows = [...table.tBodies[0].rows].sort(order);
        table.tBodies[0].append(...(down ? rows.reverse() : rows));
      });
    });
  }
}

function searching() {
  const box = document.getElementById("search");
  if (!box) return;
  const cards = all(".cards > li");
  const told = document.getElementById("found");
  box.closest("form").hidden = cards.length === 0;
  box.closest("form").addEventListener("submit", (event) => event.preventDefault());
  box.addEventListener("input", () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const card of cards) {
      const text = `${card.textContent} ${card.dataset.find || ""}`.toLowerCase();
      card.hidden = !words.every((word) => text.includes(word));
      shown += !card.hidden;
    }
    told.textContent = words.length ? `${shown} of ${cards.length} pictures` : "";
  });
}

for (const code of all("code.placed")) code.textContent = placed(code.textContent);
theme();
copying();
sorting();
searching();
