// Asks tokens.json once a second and hands what it says to the rest. Nothing is asked for while the page is out of sight.
"use strict";
(() => {
  const {at, show, write, words, known, LONG, Series} = tokensPage;
  const base = document.body.dataset.base, place = at("tokens");
  const EVERY_MS = 1000, IDLE_MS = 5000, PATIENCE_MS = 10_000;
  const SECOND_MS = 1000;  // a row is told of at its second's end
  const series = new Series();
  let runId = null, timer = 0, isAsking = false, stopping = null, refusal = "";

  class Refused extends Error {}

  async function ask(path, method = "GET") {
    const answer = await fetch(`${base}${path}`, {method, signal: AbortSignal.timeout(PATIENCE_MS), headers: {Accept: "application/json"}});
    if (answer.redirected || answer.status === 401 || answer.status === 403) throw new Refused("Locust asks for its login, load this page again");
    if (!answer.ok) throw new Refused(`Locust answers with status ${answer.status}`);
    return answer.json();
  }

  function trouble(text) {
    show(at("trouble"), text !== "");
    write(at("trouble"), text);
  }

  // A change by hand has two segments: while users come or go, and what follows. It is marked where it was made.
  function told(segments) {
    return segments.map((one, index) => (one.label && one.label === segments[index - 1]?.label ? {...one, label: null} : one));
  }

  function view(state) {
    const t = series.column("t_ms").map((value) => (value ?? 0) + SECOND_MS), rows = state.error_series?.rows || [];
    const begin = known(state.run.begun_ms) ?? t[0] ?? 0;
    return {
      id: state.run.id, series, t, begin, end: Math.max(begin + 1000, t.at(-1) ?? 0), segments: told(state.segments || []),
      errors: {classes: state.error_series?.classes || [], rows, total: rows.reduce((sum, [, ...each]) => each.reduce((a, b) => a + b, sum), 0)},
    };
  }

  function stopButton(run, isOver) {
    if (isOver || run.id !== stopping) stopping = null;
    if (isOver) refusal = "";
    const button = at("stop");
    show(button, !isOver && (run.can_stop === true || stopping !== null));
    button.disabled = stopping !== null;
    write(button, stopping === null ? "Stop" : "Stopping: requests in flight finish");
  }

  // How long to wait until it is asked again.
  function take(state) {
    const run = state.run;
    show(at("none"), run === null);
    show(at("head"), run !== null);
    show(at("live"), run !== null);
    if (run === null) {
      for (const id of ["problem", "reasons"]) show(at(id), false);
      series.clear();
      runId = null;
      place.dataset.state = "none";
      return EVERY_MS;
    }
    const isNew = run.id !== runId, asked = series.next;
    if (isNew) series.clear();
    runId = run.id;
    const follows = isNew && asked > 0 ? false : !state.series || series.take(state.series);
    if (!follows) return asked > 0 ? 0 : EVERY_MS;  // another run, or another process: all of it, from its beginning
    const isOver = tokensPage.state(state, series);
    stopButton(run, isOver);
    show(at("change"), !isOver);
    tokensPage.levels(state.levels || [], run);
    tokensPage.workers(state.workers);
    const errors = (state.error_series?.rows || []).length, segments = JSON.stringify(state.segments || []);
    if (series.changed || isNew || place.dataset.state !== run.state || place.errors !== errors || place.segments !== segments) {
      tokensPage.charts({...view(state), isOver}, {isNew});
    }
    series.changed = false;
    Object.assign(place, {errors, segments});
    place.dataset.state = run.state;
    return isOver ? IDLE_MS : EVERY_MS;
  }

  async function poll() {
    timer = 0;
    if (isAsking || document.hidden) return;
    isAsking = true;
    let pause = EVERY_MS;
    try {
      pause = take(await ask(`/tokenswarm/tokens.json?since=${series.next}`));
      trouble(refusal);
    } catch (error) {
      const isBroken = !(error instanceof Refused) && !(error instanceof TypeError) && !(error instanceof DOMException);
      trouble(error instanceof Refused ? `${error.message}: trying again`
        : isBroken ? `This page could not show what Locust said: ${words(error, LONG)}` : "no connection to Locust: trying again");
    } finally {
      isAsking = false;
      if (!document.hidden) timer = setTimeout(poll, pause);
    }
  }

  function now() {
    clearTimeout(timer);
    poll();
  }

  at("stop").addEventListener("click", async () => {
    stopping = runId;
    refusal = "";
    stopButton({id: runId, can_stop: true}, false);
    try {
      await ask("/stop", "POST");
    } catch (error) {
      stopping = null;
      stopButton({id: runId, can_stop: true}, false);
      refusal = `The run was not stopped: ${error instanceof Refused ? error.message : "no connection to Locust"}`;
    }
    now();
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) now(); });
  poll();
})();
