// Two runs or more that are picked, and what their comparison says. The first picked is the base; what is said comes from `tokenswarm compare`.
"use strict";
(() => {
  const { DASH, base, known, number, words, make, outside, button, link, job } = window.tokenswarmResults;
  const MOST = 8;
  const CHOICES = [
    ["allow_different", "although settings differ", "--allow-different all"],
    ["allow_invalid", "although one is incomplete or invalid", "--allow-invalid"],
    ["by_point", "by the bare numbers, for runs of one pass", "--by-point"],
  ];
  const SAID = { worse: "is worse than", "not worse": "is not worse than", "cannot be told": "cannot be told from" };
  const TONES = { worse: "invalid", "not worse": "", "cannot be told": "suspect" };
  const VERDICTS = { regression: "worse", "no regression": "not worse", inconclusive: "cannot be told" };

  const bar = document.getElementById("compare-bar");
  const card = document.getElementById("compare-outcome");
  const chosen = Object.fromEntries(CHOICES.map(([name]) => [name, false]));
  const picks = new Map();  // id -> name, in the order of picking
  const listeners = [];
  let busy = false, local = false;

  const changed = () => { draw(); listeners.forEach((hear) => hear()); };

  function pick(id, name, whether) {
    if (whether && picks.size < MOST) picks.set(id, name);
    if (!whether) picks.delete(id);
    changed();
  }

  function swap() {
    const [first, second, ...others] = [...picks];
    picks.clear();
    [second, first, ...others].forEach(([id, name]) => picks.set(id, name));
    changed();
  }

  function role(id, name, at) {
    const gone = button("\u00d7", () => pick(id, name, false), "bare");
    gone.setAttribute("aria-label", `Do not compare ${words(name, 80)}`);
    return make("span", "role", make("small", "", at ? "new" : "base"), outside(name, 80), gone);
  }

  function choice([name, text, option]) {
    const box = make("input");
    box.type = "checkbox";
    box.checked = chosen[name];
    box.addEventListener("change", () => { chosen[name] = box.checked; });
    return make("label", "", box, ` ${text} `, make("code", "", option));
  }

  function draw() {
    const unfolded = bar.querySelector("details")?.open ?? false;
    bar.hidden = picks.size === 0;
    document.body.classList.toggle("picking", picks.size > 0);
    const go = button(busy ? "Comparing\u2026" : "Compare", compare, "primary");
    go.id = "compare-go";
    go.disabled = busy || local || picks.size < 2;
    if (local) go.title = "A run is under way in this process";
    const over = button("Swap", swap);
    over.disabled = picks.size !== 2;
    const more = make("details", "", make("summary", "", "Options"), ...CHOICES.map(choice));
    more.open = unfolded;
    const roles = make("div", "roles", ...[...picks].map(([id, name], at) => role(id, name, at)));
    if (picks.size === 1) roles.append(make("span", "sub", "Pick another one to hold against it."));
    const clear = button("Clear", () => { picks.clear(); changed(); });
    bar.replaceChildren(roles, make("div", "acts", more, over, clear, go));
  }

  async function compare() {
    const ids = [...picks.keys()], names = [...picks.values()];
    busy = true;
    draw();
    show(make("p", "sub", "Comparing\u2026"));
    try {
      const found = await job(`${base}compare.json`, { base: ids[0], new: ids.slice(1), ...chosen }, (how) => {
        show(make("p", "sub", `Comparing\u2026 ${how}`));
      });
      show(...outcome(found, names));
    } catch (error) {
      show(make("p", "pills", make("span", "pill none", "not compared")), make("p", "refused", words(error.message, 2000)));
    } finally {
      busy = false;
      draw();
    }
    card.scrollIntoView({ block: "nearest" });
  }

  function show(...what) {
    const close = button("\u00d7", () => { card.hidden = true; }, "bare close");
    close.setAttribute("aria-label", "Close the comparison");
    card.replaceChildren(close, make("h2", "", "Comparison"), ...what);
    card.hidden = false;
  }

  function* outcome(found, names) {
    for (const [at, one] of found.each.entries()) {
      const verdict = found.each.length > 1 ? VERDICTS[one.verdict] : found.outcome;
      const pill = make("span", `pill ${TONES[verdict] || ""}`, verdict);
      yield make("p", "verdict", pill, " ", outside(names[at + 1], 120), ` ${SAID[verdict]} `, outside(names[0], 120));
    }
    if (known(found.passes_needed)) {
      yield make("p", "sub", `About ${found.passes_needed} passes of each (--repeats) would be enough to tell.`);
    }
    if (found.changes.length) yield changes(found);
    for (const note of found.notes) yield make("p", "note", words(note));
    const open = link("Open the comparison", found.file, "button primary");
    open.target = "_blank";
    open.rel = "noopener";
    open.id = "compare-open";
    yield make("p", "", open);
  }

  const figure = (name) => words(name).replaceAll("_", " ").replace(/^(ttft|tpot|e2e|itl)\b/u, (which) => which.toUpperCase());

  function changes(found) {
    const many = found.each.length > 1;
    const heads = [...(many ? ["run"] : []), "level", "figure", "base", "new", "change"];
    const rows = found.changes.map((one) => {
      const share = one.unit === "share";
      const value = (of) => (share && known(of) ? `${(100 * of).toFixed(2)} %` : number(of));
      const by = known(one.change) ? `${one.change > 0 ? "+" : ""}${(100 * one.change).toFixed(1)} ${share ? "pp" : "%"}` : DASH;
      const first = [...(many ? [one.run] : []), one.level, figure(one.figure)];
      const word = make("td", one.word === "regression" ? "worse" : "better", `${by} ${one.word === "regression" ? "worse" : "better"}`);
      return make("tr", "", ...first.map((text) => make("td", "text", outside(text, 80))), make("td", "", value(one.base)), make("td", "", value(one.new)), word);
    });
    const head = make("thead", "", make("tr", "", ...heads.map((text) => make("th", ["run", "level", "figure"].includes(text) ? "text" : "", text))));
    const left = found.changed - found.changes.length;
    return make("div", "wide", make("table", "", head, make("tbody", "", ...rows)), left > 0 ? make("p", "note", `and ${left} more in the comparison`) : null);
  }

  window.tokenswarmResults.compare = {
    pick,
    has: (id) => picks.has(id),
    isFull: () => picks.size >= MOST,
    listen: (hear) => listeners.push(hear),
    keep: (ids) => { for (const id of [...picks.keys()]) if (!ids.has(id)) picks.delete(id); draw(); },
    setLocal: (whether) => { if (local !== whether) { local = whether; draw(); } },
  };
})();
