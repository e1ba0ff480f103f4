// The tables: levels, with the numbers of summary.json once the run is over, and workers.
"use strict";
(() => {
  const {about, DASH, SHORT, known, number, count, many, words, at, write, show, make, rows} = tokensPage;
  const MOST = 500;  // rows of either table

  // harness.carried: what so few values do not carry is withheld.
  function isWithheld(part, key) {
    if (Array.isArray(part.withheld) && part.withheld.includes(key)) return true;
    return known(part.n) !== null && part.n < (about.need[key] ?? 1);
  }

  function figure(level, [, name, key, scale]) {
    const part = level[name], raw = known(key ? part?.[key] : part);
    if (raw === null) return {text: DASH, title: "not measured"};
    if (key && isWithheld(part, key)) {
      const here = known(part.n) === null ? "" : `; here are ${count(part.n)}`;
      return {text: `${DASH}*`, title: `${key} needs ${count(about.need[key])} requests${here}`, withheld: key};
    }
    return {text: number(raw, scale), raw};
  }

  function goodput(level) {
    const raw = known(level.goodput?.share);
    return {text: number(raw, 100), raw};
  }

  function met(level) {  // harness.judgement.all_met
    const each = Array.isArray(level.slo) ? level.slo.map((one) => one.met) : [];
    if (each.includes(false)) return {text: "no", raw: false};
    return each.length === 0 || each.includes(null) || each.includes(undefined) ? {text: DASH} : {text: "yes", raw: true};
  }

  function share(level) {
    if (known(level.requests) === null) return {text: DASH};
    return {text: `${count(level.succeeded)}/${count(level.requests)}`, raw: `${level.succeeded}/${level.requests}`};
  }

  function fill(cell, {text, title = "", raw}) {
    write(cell, text);
    if (cell.title !== title) cell.title = title;
    if (raw === undefined || raw === null) delete cell.dataset.value;
    else cell.dataset.value = String(raw);
  }

  const byUsers = (level) => (level.kind ?? "concurrency") === "concurrency";

  function row(tr, level, hasSlos) {
    if (tr.children.length === 0) {
      tr.append(make("th"), make("td"));
      tr.children[0].append(make("bdi"), make("small"));
      tr.children[1].dataset.figure = "ok/all";
      let last = null;
      for (const [, name, key] of about.columns) {
        const cell = tr.appendChild(make("td", "", name.replace(/_(output|total)_tokens_per_s$/, "") === last ? "" : "first"));
        last = name.replace(/_(output|total)_tokens_per_s$/, "");
        cell.dataset.figure = key ? `${name}.${key}` : name;
      }
      for (const name of ["goodput.share", "slo"]) {
        tr.appendChild(make("td", "", name === "slo" ? "slo" : "slo first")).dataset.figure = name;
      }
    }
    const isNow = level.state === "running", kind = isNow ? "now" : level.state === "to_come" ? "later" : "";
    if (tr.className !== kind) tr.className = kind;
    tr.dataset.level = String(level.level);
    const [head, ...cells] = tr.children;
    write(head.firstChild, byUsers(level) ? String(level.level) : words(level.title, SHORT));
    write(head.lastChild, isNow ? "so far" : "");
    const found = [share(level), ...about.columns.map((column) => figure(level, column)), goodput(level), met(level)];
    cells.forEach((cell, index) => fill(cell, found[index]));
    cells.slice(-2).forEach((cell) => show(cell, hasSlos));
    return found;
  }

  // What is withheld anywhere, in a sentence (harness.carried.says).
  function note(found, levels) {
    const keys = [...new Set(found.flat().map((one) => one.withheld).filter(Boolean))];
    const [first, ...others] = keys.sort((a, b) => about.need[a] - about.need[b] || (a < b ? -1 : 1));
    const said = first ? [`${DASH}* ${[`${first} needs ${count(about.need[first])} requests`,
      ...others.map((key) => `${key} ${count(about.need[key])}`)].join(", ")}: withheld where there were fewer.`] : [];
    if (levels.length > MOST) said.push(`The first ${count(MOST)} of ${count(levels.length)} levels.`);
    return said;
  }

  tokensPage.levels = (levels, run) => {
    const isFinal = run.state === "over", hasSlos = (run.slos || []).length > 0 || levels.some((one) => Array.isArray(one.slo) && one.slo.length > 0);
    const found = [], table = at("level-table");
    show(at("levels"), levels.length > 0);
    write(at("level-heading"), levels.every(byUsers) ? "users" : "load");
    write(at("levels-state"), isFinal ? "final" : "so far");
    at("levels-state").className = isFinal ? "pill" : "pill none";
    at("levels").dataset.final = String(isFinal);
    for (const cell of table.tHead.querySelectorAll(".slo")) show(cell, hasSlos);
    rows(table.tBodies[0], levels.slice(0, MOST), "tr", (tr, level) => found.push(row(tr, level, hasSlos)));
    const live = isFinal ? [] : ["Live figures are within 1 %, of the requests that have ended so far."];
    write(at("levels-note"), [...live, ...note(found, levels)].join(" "));
  };

  tokensPage.workers = (workers) => {
    const each = workers?.each || [];
    show(at("workers"), Boolean(workers));
    if (!workers) return;
    write(at("workers-count"), `${count(workers.here)} of ${count(workers.of)}`);
    rows(at("worker-table").tBodies[0], each.slice(0, MOST), "tr", (tr, one) => {
      if (tr.children.length === 0) {
        tr.append(make("th"), ...Array.from({length: 5}, () => make("td")));
        tr.firstChild.append(make("bdi"));
      }
      write(tr.firstChild.firstChild, words(one.name, SHORT));
      const state = words(one.state, 40);
      [state, count(one.users), count(one.in_flight), number(one.cpu_percent), count(one.bad_seconds)]
        .forEach((text, index) => write(tr.children[index + 1], text));
      tr.className = ["missing", "silent", "lost"].includes(state) ? "gone" : "";
    });
    write(at("workers-note"), each.length > MOST ? `The first ${count(MOST)} of ${many(each.length, "worker")}.` : "");
  };
})();
