// What the page says in words and single figures: whose run it is, how it is going, how far it is.
"use strict";
(() => {
  const {SHORT, LONG, known, number, count, many, duration, words, at, write, show, make, rows} = tokensPage;
  const STATES = {
    preparing: "preparing", starting: "starting users", running: "running", draining: "requests in flight finish",
    writing: "writing results", over: "over", failed: "failed",
  };
  const FIRST = 6, MOST = 100;  // reasons that are shown at once, and those that unfold
  const base = document.body.dataset.base;

  // An address below this page's own origin; null for anything else.
  function own(path) {
    if (typeof path !== "string" || !path) return null;
    const url = new URL(path.startsWith("/") ? path : `${base}/tokenswarm/${path}`, location.href);
    return url.origin === location.origin && url.protocol.startsWith("http") ? url.href : null;
  }

  function head(run, isOver) {
    const name = run.name || run.id, backends = (run.backends || []).join(", ");
    write(at("title"), words(name, 2 * SHORT));
    const said = [run.model, run.host, backends, run.name ? `run ${run.id}` : null].filter(Boolean);
    rows(at("what"), said, "bdi", (element, text) => write(element, words(text, SHORT)));
    write(at("state"), STATES[run.state] || words(run.state, 40));
    at("state").className = run.state === "failed" ? "pill failed" : isOver ? "pill none" : "pill";
    const link = isOver ? own(run.report) : null;
    show(at("report"), link !== null);
    if (link !== null && at("report").href !== link) at("report").href = link;
    show(at("again"), isOver);
    show(at("problem"), Boolean(run.problem));
    write(at("problem"), words(run.problem, LONG));
  }

  function verdict(said) {
    const reasons = (said?.reasons || []).slice(0, FIRST + MOST), status = words(said?.status || "none", 40);
    const isKnown = ["valid", "suspect", "invalid"].includes(status), pill = at("verdict");
    write(pill, isKnown ? `${said.is_final ? "verdict" : "so far"}: ${status}` : "no verdict yet");
    pill.className = `pill ${isKnown ? status : "none"}`;
    pill.dataset.status = status;
    show(at("reasons"), reasons.length > 0);
    at("reasons").className = reasons.some((one) => one.status === "invalid") ? "alert bad" : "alert";
    write(at("reasons-title"), said?.is_final ? "Why not to trust it as it is" : "Why not to trust it so far");
    const line = (li, reason) => {
      if (li.children.length === 0) li.append(make("b"), " ", make("bdi"));
      write(li.firstChild, words(reason.status, 40));
      write(li.lastChild, words(reason.text, LONG));
    };
    rows(at("reasons-list"), reasons.slice(0, FIRST), "li", line);
    rows(at("reasons-others"), reasons.slice(FIRST), "li", line);
    show(at("reasons-more"), reasons.length > FIRST);
    write(at("reasons-count"), `and ${count((said?.reasons || []).length - FIRST)} more`);
  }

  // `step 2 of 5: 8 users, 17 of 60 done, warming up`
  function place(progress, run) {
    const step = known(progress.step) !== null && known(progress.steps) !== null ? `step ${count(progress.step)} of ${count(progress.steps)}: ` : "";
    const done = known(progress.done) === null ? null
      : known(progress.quota) === null ? `${count(progress.done)} done` : `${count(progress.done)} of ${count(progress.quota)} done`;
    const said = [words(progress.title, SHORT), done, progress.warming_up ? "warming up" : null].filter(Boolean).join(", ");
    return said ? step + said : STATES[run.state] || "";
  }

  function progress(now, run, isOver) {
    const share = isOver && run.state === "over" ? 1 : known(now.share), percent = share === null ? null : Math.round(100 * Math.min(1, Math.max(0, share)));
    write(at("where"), isOver ? STATES[run.state] || "over" : place(now, run));
    const left = !isOver && known(now.left_s) !== null ? `, about ${duration(now.left_s)} left` : "";
    write(at("times"), known(now.elapsed_s) === null ? "" : `${duration(now.elapsed_s)} ${isOver ? "in all" : "so far"}${left}`);
    at("where").title = words(now.line, LONG);
    at("bar").classList.toggle("unknown", percent === null && !isOver);
    at("filled").style.width = `${percent ?? 0}%`;
    if (percent === null) at("bar").removeAttribute("aria-valuenow");
    else at("bar").setAttribute("aria-valuenow", String(percent));
    at("bar").setAttribute("aria-valuetext", at("where").textContent);
  }

  function tile(name, figure, what, more) {
    write(at(`tile-${name}`), figure);
    write(at(`tile-${name}-what`), what);
    write(at(`tile-${name}-more`), more);
  }

  const spent = (seconds) => Object.entries(seconds || {}).filter(([, n]) => n > 0).map(([why, n]) => `${words(why, 40).replaceAll("_", " ")} ${count(n)}\u00a0s`).join(", ");

  function counted(state) {
    const totals = state.totals || {}, rest = known(totals.uncounted) ? `; tokens of ${count(totals.uncounted)} not counted yet` : "";
    const cancelled = totals.cancelled ? `, ${count(totals.cancelled)} cancelled` : "";
    tile("requests", count(totals.succeeded), "requests succeeded", `${count(totals.failed)} failed${cancelled}${rest}`);
    at("tile-requests").parentElement.classList.toggle("bad", Boolean(totals.failed));
  }

  function nowTiles(state, series) {
    const row = series.latest(), last = (name) => series.last(name), client = state.client || {}, begin = state.run.begun_ms;
    const old = row && known(begin) !== null && series.last("t_ms") - row.t_ms > 5000 ? `, as of ${duration((row.t_ms - begin) / 1000)}` : "";
    tile("rate", number(row?.system_output_tokens_per_s), "system output tokens/s", `${number(row?.system_total_tokens_per_s)} with prompts${old}`);
    tile("each", number(last("request_tokens_per_s_p50")), "tokens/s per request, median", `p10 ${number(last("request_tokens_per_s_p10"))}`);
    tile("ttft", number(last("ttft_ms_p50")), "TTFT ms, median", `p95 ${number(last("ttft_ms_p95"))}`);
    const users = last("users");
    tile("flight", count(state.progress?.in_flight ?? last("in_flight")), "requests in flight",
      `${users ? `${many(users, "user")}, ` : ""}${count(state.progress?.backlog ?? last("backlog"))} waiting`);
    const bad = spent(client.bad_seconds);
    tile("client", number(client.cpu_percent), "CPU % of the load generator", [`loop late ${number(client.lag_ms)} ms`, bad].filter(Boolean).join("; "));
  }

  // At the end: the level with the most tokens a second, and what the run went up to.
  function endTiles(state, series) {
    const rate = (level) => known(level.system_output_tokens_per_s) ?? -1;
    const best = (state.levels || []).reduce((top, one) => (top === null || rate(one) > rate(top) ? one : top), null) || {};
    const where = best.title ? `at ${words(best.title, 60)}` : "", cpu = series.most("cpu_percent"), each = best.request_output_tokens_per_s;
    tile("rate", number(best.system_output_tokens_per_s), "system output tokens/s", where ? `highest, ${where}` : "nothing was measured");
    tile("each", number(each?.median), "tokens/s per request, median", where);
    tile("ttft", number(best.ttft_ms?.p50), "TTFT ms, median", where);
    tile("flight", count(series.most("in_flight")), "requests in flight", "at most");
    tile("client", number(cpu), "CPU % of the load generator", ["busiest second", spent(state.client?.bad_seconds)].filter(Boolean).join("; "));
  }

  tokensPage.state = (state, series) => {
    const run = state.run, isOver = ["over", "failed"].includes(run.state);
    head(run, isOver);
    verdict(state.verdict);
    progress(state.progress || {}, run, isOver);
    counted(state);
    (isOver ? endTiles : nowTiles)(state, series);
    return isOver;
  };
})();
