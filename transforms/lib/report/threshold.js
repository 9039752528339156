"use strict";
// Moves a threshold along its axis. Every place where it can stand has its count, so the number shown is exact.

// The place whose value is nearest to a number; values rise.
function nearest(values, value) {
  let low = 0;
  let high = values.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low > 0 && value - values[low - 1] < values[low] - value ? low - 1 : low;
}

// The shortest decimal by which `winnow select` keeps the `ranked` best of `of` samples, by the rule of the step.
function fraction(rule, ranked, of) {
  for (let places = 1; places <= 17; places += 1) {
    const scale = 10n ** BigInt(places);
    const twice = BigInt(2 * ranked - (rule === "datacomp" ? 1 : 0));
    const digits = (twice * scale + BigInt(of)) / BigInt(2 * of);
    const text = `${digits / scale}.${String(digits % scale).padStart(places, "0")}`;
    const value = Number(text);
    if (!(value > 0 && value <= 1)) continue;
    const kept = rule === "datacomp" ? Math.trunc(of * value) + 1 : Number((2n * digits * BigInt(of) + scale) / (2n * scale));
    if (kept === ranked) return text.replace(/(\.\d*?[1-9])0+$/, "$1").replace(/\.0+$/, ".0");
  }
  return "";
}

function panel(element) {
  const data = JSON.parse(element.querySelector("script.data").textContent);
  const { values, ranked, passing } = data;
  const find = (name) => element.querySelector(name);
  const slider = find(".slider");
  const typed = find(".typed");
  const chart = find(".axis-room > svg > svg");
  const line = chart.querySelector("line.mark") || chart.appendChild(svg("line", { class: "mark", y1: -4, y2: 190 }));
  const words = chart.querySelector("text.marked") || chart.appendChild(svg("text", { class: "marked", y: -8 }));
  const region = svg("rect", { class: "kept-region", y: 0, height: 190 });
  chart.prepend(region);
  const cards = all(".rung .cards > li", element).map((card) => ({ card, score: Number(card.dataset.score) }))
    .filter((one) => !isNaN(one.score)).sort((a, b) => a.score - b.score);
  const group = (number) => number.toLocaleString("en");
  let now = -1;  // the place of the threshold; -1 is that of the selection itself

  function svg(name, attributes) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  }

  function neighbours(value) {
    const cut = cards.findIndex((one) => one.score >= value);
    const at = cut < 0 ? cards.length : cut;
    const fill = (list, some) => list.replaceChildren(...some.map((one) => one.card.cloneNode(true)));
    fill(find(".above"), cards.slice(at, at + 6));
    fill(find(".below"), cards.slice(Math.max(0, at - 6), at).reverse());
    for (const rung of all(".rung", element)) rung.classList.toggle("under", Number(rung.dataset.high) <= value);
  }

  function show() {
    const chosen = now >= 0;
    const value = chosen ? values[now] : data.now ?? values[0];
    const kept = chosen ? passing[now] : data.kept;
    const at = Math.min(100, Math.max(0, (100 * (value - data.low)) / (data.high - data.low)));
    line.setAttribute("x1", `${at}%`);
    line.setAttribute("x2", `${at}%`);
    words.setAttribute("x", `${at}%`);
    words.setAttribute("text-anchor", at < 12 ? "start" : at > 88 ? "end" : "middle");
    region.setAttribute("x", `${at}%`);
    region.setAttribute("width", `${100 - at}%`);
    const shown = Number(value.toPrecision(6));
    words.textContent = `threshold ${shown}`;
    const most = chosen && !data.fixed ? "at most " : "";
    const share = ((100 * kept) / data.samples).toFixed(2);
    find(".value").textContent = shown;
    find(".kept-count").textContent = most + group(kept);
    find(".kept-share").textContent = `kept, ${share} % of ${group(data.samples)}`;
    const change = kept - data.kept;
    find(".change").textContent = (change > 0 ? "+" : change < 0 ? "−" : "") + group(Math.abs(change));
    const told = `${shown}: ${most}${group(kept)} samples kept, ${share} %`;
    slider.setAttribute("aria-valuetext", told);
    find(".sum").textContent = chosen ? `At ${told}.` : `The selection as it is: ${told}.`;
    if (document.activeElement !== typed) typed.value = Number(value.toPrecision(9));
    if (data.flag) {
      find(".paste").hidden = !chosen;
      const amount = !chosen || data.rule === "at_least" ? String(value) : fraction(data.rule, ranked[now], data.of);
      find(".flag").textContent = data.flag + amount;
      find(".whole").textContent = placed(`${data.command} ${data.flag}${amount}`);
    }
    neighbours(value);
  }

  function move(place) {
    now = Math.min(values.length - 1, Math.max(0, place));
    slider.value = values[now];
    show();
  }

  slider.addEventListener("input", () => { now = nearest(values, Number(slider.value)); show(); });
  typed.addEventListener("input", () => { if (typed.value !== "") move(nearest(values, Number(typed.value))); });
  slider.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -20, PageUp: 20, Home: -Infinity, End: Infinity };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const here = now >= 0 ? now : nearest(values, data.now ?? values[0]);
    move(here + steps[event.key]);
  });
  const room = find(".axis-room > svg");
  room.classList.add("movable");
  const drag = (event) => {
    if (event.buttons === 0 && event.type === "pointermove") return;
    const box = room.getBoundingClientRect();
    move(nearest(values, data.low + ((event.clientX - box.left) / box.width) * (data.high - data.low)));
  };
  room.addEventListener("pointerdown", (event) => { room.setPointerCapture(event.pointerId); drag(event); });
  room.addEventListener("pointermove", drag);
  find(".back").addEventListener("click", () => { now = -1; slider.value = data.now ?? values[0]; show(); });
  for (const part of all(".screen", element)) part.hidden = false;
  slider.value = data.now ?? values[0];
  show();
}

for (const element of all(".panel")) {
  if (element.querySelector("script.data")) panel(element);
}
