// The list of runs: all of them are fetched once, a page at a time; then the newest are asked for again every few seconds.
"use strict";
(() => {
  const own = window.tokenswarmResults;
  const { DASH, base, known, number, count, bytes, duration, when, words, make, outside, button, link, path, ask, job, compare } = own;
  const POLL_MS = 5000, FIRST = 50, MORE = 100;
  const STATES = { writing: ["", "under way"], elsewhere: ["", "under way elsewhere"], unfinished: ["invalid", "not finished"], damaged: ["invalid", "damaged"] };
  const SLO = { true: ["", "SLOs met"], false: ["missed", "SLO missed"], null: ["none", "SLOs not judged"] };
  const HEADS = ["level", "ok/all", "system tok/s", "tok/s each", "TTFT p50", "TTFT p95", "TPOT p50", "E2E p50"];

  const at = (name) => document.getElementById(`results-${name}`);
  const table = at("table"), search = at("search"), verdict = at("verdict");
  let told = null, tag = null, rows = [], limit = FIRST;
  const drawn = new Map();  // id -> {body, key}: what has not changed stays as it is, focus and all
  const open = new Set();

  const nameOf = (row) => row.name || row.run_id || row.id;

  function stateOf(row) {
    if (row.id === told.own) return "writing";
    return row.state === "unfinished" && told.elsewhere.includes(row.id) ? "elsewhere" : row.state;
  }

  // --- the list

  function matches(row) {
    const wanted = verdict.value;
    if (wanted && (row.verdict || "none") !== wanted) return false;
    const labels = Object.entries(row.labels || {}).map(([key, value]) => `${key}=${value}`);
    const texts = [row.name, row.id, row.model, row.host, row.machine, row.campaign, row.verdict, ...(row.backends || []), ...labels];
    const text = texts.filter(Boolean).join("\n").toLowerCase();
    return search.value.toLowerCase().split(/\s+/u).every((word) => text.includes(word));
  }

  function draw() {
    const found = rows.filter(matches), shown = found.slice(0, limit);
    for (const [id, one] of drawn) if (!shown.some((row) => row.id === id)) { one.body.remove(); drawn.delete(id); }
    let before = table.tHead;
    for (const row of shown) {
      const body = bodyOf(row);
      if (before.nextElementSibling !== body) before.after(body);
      before = body;
    }
    at("card").hidden = shown.length === 0;
    at("more").hidden = found.length <= limit;
    say(found.length);
    none(found.length);
  }

  function say(found) {
    const whole = told.total === rows.length ? `${count(rows.length)} run${rows.length === 1 ? "" : "s"}` : `Reading the runs\u2026 ${count(rows.length)} of ${count(told.total)}`;
    at("count").textContent = rows.length ? (found === rows.length ? whole : `${count(found)} of ${whole}`) : "";
    at("place").replaceChildren("in ", outside(told.place));
    at("busy").hidden = told.busy === null;
    at("busy").textContent = told.busy === "local"
      ? "A run is under way in this process. Reports, comparisons and bundles have to wait until it is over: they would disturb its load."
      : "A run is under way. What is made here runs at the lowest priority; if workers of the run are on this machine, better wait for its end.";
    compare.setLocal(told.busy === "local");
  }

  function none(found) {
    at("none").hidden = found > 0;
    if (found) return;
    if (rows.length) {
      at("none").replaceChildren(make("p", "", "No run is as asked for."), button("Show all", () => { search.value = verdict.value = ""; draw(); }));
      return;
    }
    at("none").replaceChildren(
      make("h2", "", "No run yet"),
      make("p", "", "Runs appear here as soon as they begin: start one on the ", link("Locust page", `${document.body.dataset.base}/`), ", or from a terminal with"),
      make("pre", "", "locust -f locustfiles/openai.py --host URL --headless --levels 1,2,4,8"),
      make("p", "note", "Runs of before are in another folder? Start Locust with --results-dir and its name."),
    );
  }

  function bodyOf(row) {
    const key = JSON.stringify([row, stateOf(row), told.busy === "local"]);
    const kept = drawn.get(row.id);
    if (kept && kept.key === key) return kept.body;
    const body = make("tbody", `run ${stateOf(row)}`);
    body.dataset.id = row.id;
    body.append(line(row, body));
    if (open.has(row.id)) unfold(row, body);
    if (kept) kept.body.replaceWith(body);
    drawn.set(row.id, { body, key });
    return body;
  }

  function line(row, body) {
    const best = row.best || {}, totals = row.totals || {};
    const cells = [
      [make("td", "pick", picker(row))],
      [make("th", "what", ...what(row, body))],
      [make("td", "verdict", ...pills(row))],
      [make("td", "big", make("b", "", number(best.system_output_tokens_per_s)), best.title ? make("small", "", "at ", outside(best.title, 60)) : null), "system tok/s"],
      [make("td", "", time(best.ttft_ms_p50)), "TTFT p50"],
      [make("td", "", known(totals.offered) ? `${count(totals.succeeded)}/${count(totals.offered)}` : DASH), "requests ok/all"],
      [make("td", "", duration(row.duration_s)), "time"],
      [make("td", "acts", ...acts(row, body))],
    ];
    return make("tr", "", ...cells.map(([cell, label]) => { if (label) cell.dataset.label = label; return cell; }));
  }

  const time = (ms) => (!known(ms) ? DASH : ms < 9999.5 ? `${number(ms)} ms` : `${number(ms / 1e3)} s`);

  function picker(row) {
    const box = make("input");
    box.type = "checkbox";
    box.checked = compare.has(row.id);
    box.disabled = row.state !== "over";
    box.setAttribute("aria-label", `Compare ${words(nameOf(row), 120)}`);
    box.addEventListener("change", () => compare.pick(row.id, nameOf(row), box.checked));
    return box;
  }

  function what(row, body) {
    const name = button(outside(nameOf(row), 160), () => toggle(row, body), "name");
    name.setAttribute("aria-expanded", String(open.has(row.id)));
    const parts = [when(row.begun_ms), row.model, row.host, (row.backends || []).join(", "), row.campaign && `campaign ${row.campaign}`];
    const sub = make("div", "sub", ...parts.filter(Boolean).map((part, place) => (place ? outside(part, 100) : make("time", "", part))));
    const labels = Object.entries(row.labels || {}).slice(0, 8).map(([key, value]) => make("span", "label", outside(`${key}=${value ?? ""}`, 60)));
    return [name, sub, labels.length ? make("div", "labels", ...labels) : null];
  }

  function pills(row) {
    const state = stateOf(row), found = [];
    if (STATES[state]) found.push(make("span", `pill ${STATES[state][0]}`, STATES[state][1]));
    if (row.verdict) found.push(make("span", `pill ${row.verdict === "valid" ? "" : row.verdict}`, row.verdict));
    if (row.verdict && row.complete === false) found.push(make("span", "pill suspect", "incomplete"));
    if (row.slo) found.push(make("span", `pill ${SLO[row.slo.met][0]}`, SLO[row.slo.met][1]));
    return found.length ? [make("div", "pills", ...found)] : [DASH];
  }

  function acts(row, body) {
    const state = stateOf(row), found = [];
    if (row.has_report) {
      const report = link("Report", `${path(row.id)}/report`, "button report");
      report.target = "_blank";
      report.rel = "noopener";
      found.push(report);
    } else if (state === "over" || state === "unfinished" || state === "damaged") {
      found.push(worker("Make report", `${path(row.id)}/report`, {}, body, refresh));
    }
    const more = button(open.has(row.id) ? "Less" : "Details", () => toggle(row, body), "more");
    more.setAttribute("aria-expanded", String(open.has(row.id)));
    more.setAttribute("aria-label", `${open.has(row.id) ? "Hide" : "Show"} details of ${words(nameOf(row), 120)}`);
    return [make("div", "buttons", ...found, more)];
  }

  // A button that has something made; how far it is stands in it, and what went wrong below the run.
  function worker(text, url, value, body, after) {
    const made = button(text, async () => {
      made.disabled = true;
      complain(body, "");
      try {
        after(await job(url, value, (how) => { made.textContent = `${text}: ${how}`; }));
      } catch (error) {
        complain(body, error.message);
      }
      made.textContent = text;
      made.disabled = false;
    });
    made.disabled = told.busy === "local";
    return made;
  }

  function complain(body, text) {
    body.querySelector(".trouble")?.remove();
    if (!text) return;
    const cell = make("td", "", make("p", "alert bad", words(text, 2000)));
    cell.colSpan = 8;
    cell.firstChild.setAttribute("role", "alert");
    body.rows[0].after(make("tr", "trouble", cell));
  }

  // --- details

  function toggle(row, body) {
    if (!open.delete(row.id)) open.add(row.id);
    const at = document.activeElement?.className;
    body.querySelector(".details")?.remove();
    body.rows[0].replaceWith(line(row, body));
    if (open.has(row.id)) unfold(row, body);
    if (at) body.querySelector(`button.${CSS.escape(at.split(" ")[0])}`)?.focus();
  }

  async function unfold(row, body) {
    const cell = make("td", "", make("p", "sub", "Reading\u2026"));
    cell.colSpan = 8;
    body.append(make("tr", "details", cell));
    let found = {};
    try {
      found = (await ask(`${path(row.id)}/details.json`)).told;
    } catch (error) {
      if (row.state !== "damaged") { cell.replaceChildren(make("p", "alert bad", words(error.message))); return; }
    }
    cell.replaceChildren(make("div", "inside", ...details(row, found, body)));
  }

  function* details(row, found, body) {
    const state = stateOf(row);
    if (state === "writing") yield make("p", "", "This run is under way: ", link("watch it", `${base}tokens`), ".");
    if (state === "elsewhere") yield make("p", "", "Another process is writing to this run's journal.");
    if (state === "unfinished") {
      yield make("p", "alert bad", "It ended without its results. What was measured is in its journal; make the report here, or with ", make("code", "", `tokenswarm report ${words(told.place)}/${words(row.id)}`));
    }
    if (state === "damaged") yield make("p", "alert bad", words(row.problem));
    const reasons = [...(found.reasons || []), ...(found.incomplete || []).map((one) => `incomplete: ${one}`)];
    if (reasons.length) yield make("ul", "reasons", ...reasons.map((one) => make("li", "", words(one))));
    if (row.search?.answer) yield make("p", "", "Search: ", outside(row.search.answer));
    if (row.slo?.asked?.length) yield make("p", "sub", "Asked: ", outside(row.slo.asked.join("; ")));
    if (found.levels?.length) yield* levels(found.levels);
    yield* facts(row);
    if (found.files?.length) yield files(row, found.files);
    if (state === "over" && row.verdict) {
      const sure = row.complete === false ? { incomplete: true } : {};
      yield make("p", "bundle", worker("Make bundle", `${path(row.id)}/bundle`, sure, body, take), make("span", "note", " settings, records and hashes in one file that others can check (tokenswarm bundle)"));
    }
  }

  function take(made) {
    const away = link("", made.file);
    away.download = "";
    away.click();
  }

  function* levels(found) {
    const few = found.some((one) => one.withheld?.length);
    const cell = (one, name) => (one.withheld?.includes(name) ? `${DASH}*` : number(one[name]));
    const lines = found.map((one) => make(
      "tr", "", make("th", "text", outside(one.title, 60)), make("td", "", `${count(one.succeeded)}/${count(one.requests)}`),
      ...["system_output_tokens_per_s", "request_output_tokens_per_s_median", "ttft_ms_p50", "ttft_ms_p95", "tpot_ms_p50", "e2e_ms_p50"].map((name) => make("td", "", cell(one, name))),
    ));
    const head = make("thead", "", make("tr", "", ...HEADS.map((text, place) => make("th", place ? "" : "text", text))));
    yield make("div", "wide", make("table", "levels", head, make("tbody", "", ...lines)));
    yield make("p", "note", `Times in ms, tok/s each: the median of requests.${few ? " * withheld: a p95 needs 59 requests." : ""}`);
  }

  function* facts(row) {
    const said = [
      ["Run", row.id],
      ["Load generator", row.machine],
      ["Exit code", known(row.exit_code) ? `${row.exit_code}, by tokenswarm report` : null],
      ["Tokens", known(row.totals?.output_tokens) ? `${count(row.totals.prompt_tokens)} prompt, ${count(row.totals.output_tokens)} output` : null],
    ].filter(([, value]) => value);
    yield make("dl", "", ...said.flatMap(([name, value]) => [make("dt", "", name), make("dd", "", outside(value))]));
  }

  function files(row, found) {
    const list = make("ul", "files", ...found.map((file) => {
      const href = `${path(row.id)}/files/${file.name.split("/").map(encodeURIComponent).join("/")}`;
      const away = link(outside(file.name, 120), href);
      away.download = "";
      return make("li", "", away, make("small", "", ` ${bytes(file.bytes)}`));
    }));
    return make("div", "", make("h3", "", "Files"), list);
  }

  // --- fetching

  async function page(from, known_) {
    return ask(`${base}results.json?from=${from}`, known_ ? { headers: { "If-None-Match": known_ } } : {});
  }

  async function all(first) {
    rows = [];
    for (let next = first; ;) {
      told = { ...next, elsewhere: [...(told && next.from ? told.elsewhere : []), ...next.elsewhere] };
      const here = new Set(rows.map((row) => row.id));
      rows.push(...next.rows.filter((row) => !here.has(row.id)));
      const end = next.from + next.page;
      if (end >= next.total || !next.rows.length) break;
      draw();
      next = (await page(end)).told;
    }
    told.total = rows.length;
    compare.keep(new Set(rows.map((row) => row.id)));
    draw();
  }

  let fetching = null;  // two at once would mix their pages

  function refresh() {
    fetching = fetching || look().finally(() => { fetching = null; });
    return fetching;
  }

  async function look() {
    try {
      const { answer, told: next } = await page(0, tag);
      at("problem").hidden = true;
      if (next === null) return;
      tag = answer.headers.get("ETag");
      const fresh = new Set(next.rows.map((row) => row.id));
      const same = told && rows.length === next.total && rows.slice(0, next.rows.length).every((row) => fresh.has(row.id));
      if (!same) { await all(next); return; }
      rows.splice(0, next.rows.length, ...next.rows);
      told = { ...next, elsewhere: next.elsewhere };
      draw();
    } catch (error) {
      tag = null;
      at("problem").textContent = words(error.message);
      at("problem").hidden = false;
      if (!told) at("count").textContent = "";
    }
  }

  async function poll() {
    if (!document.hidden) await refresh();
    setTimeout(poll, POLL_MS);
  }

  search.addEventListener("input", () => { limit = FIRST; if (told) draw(); });
  verdict.addEventListener("change", () => { limit = FIRST; if (told) draw(); });
  at("more").firstElementChild.addEventListener("click", () => { limit += MORE; draw(); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden && told) refresh(); });
  compare.listen(() => {
    for (const [id, one] of drawn) {
      const box = one.body.querySelector(".pick input"), row = rows.find((other) => other.id === id);
      box.checked = compare.has(id);
      box.disabled = row?.state !== "over" || (compare.isFull() && !box.checked);
    }
  });
  poll();
})();
