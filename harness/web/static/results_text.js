// Numbers, times and elements of the page of results. Texts of runs may be anybody's: they get onto the page as text alone.
"use strict";
window.tokenswarmResults = (() => {
  const DASH = "\u2013";
  const base = `${document.body.dataset.base}/tokenswarm/`;

  const known = (value) => typeof value === "number" && Number.isFinite(value);

  // harness.grid.number: one decimal below 1,000, whole below 100,000, then k and M.
  function number(value) {
    if (!known(value)) return DASH;
    const size = Math.abs(value);
    if (size < 10 && value !== Number(value.toFixed(1))) return value.toFixed(2);
    if (size < 999.95) return value.toFixed(1);
    if (size < 99999.5) return value.toFixed(0);
    return size < 999500 ? `${(value / 1e3).toFixed(0)}k` : `${(value / 1e6).toFixed(1)}M`;
  }

  const count = (value) => (known(value) ? Math.round(value).toLocaleString("en-US") : DASH);

  function bytes(value) {
    if (!known(value)) return DASH;
    if (value < 1000) return `${value} B`;
    const [size, unit] = value < 999500 ? [value / 1e3, "kB"] : value < 999.5e6 ? [value / 1e6, "MB"] : [value / 1e9, "GB"];
    return `${size.toFixed(size < 9.95 ? 1 : 0)} ${unit}`;
  }

  function duration(seconds) {
    if (!known(seconds) || seconds < 0) return DASH;
    if (seconds < 59.95) return `${seconds.toFixed(seconds < 9.95 ? 1 : 0)} s`;
    const whole = Math.round(seconds), hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
    return hours ? `${hours} h ${minutes} min` : `${minutes} min ${whole % 60} s`;
  }

  function when(ms) {  // where the reader is
    if (!known(ms) || Math.abs(ms) > 8.64e15) return DASH;
    const at = new Date(ms), two = (part) => String(part).padStart(2, "0");
    return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}`;
  }

  // One line of printable characters, of bearable length.
  function words(text, most = 600) {
    const line = String(text ?? "").slice(0, most + 1).replace(/\s+/gu, " ").trim().replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "?");
    return line.length > most ? `${line.slice(0, most)}\u2026` : line;
  }

  function make(tag, kind, ...children) {  // texts become text nodes
    const element = document.createElement(tag);
    if (kind) element.className = kind;
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }

  const outside = (text, most) => make("bdi", "", words(text, most));  // its direction stays its own

  function button(text, act, kind) {
    const element = make("button", kind, text);
    element.type = "button";
    element.addEventListener("click", act);
    return element;
  }

  function link(text, href, kind) {
    const element = make("a", kind, text);
    element.href = href;
    return element;
  }

  const path = (id) => `${base}results/${id.split("/").map(encodeURIComponent).join("/")}`;

  // The JSON of an answer; what went wrong is an Error in words.
  async function ask(url, options = {}) {
    let answer;
    try {
      answer = await fetch(url, { cache: "no-store", ...options });
    } catch {
      throw new Error("The web UI does not answer: has Locust ended?");
    }
    if (answer.status === 304) return { answer, told: null };
    if (!(answer.headers.get("Content-Type") || "").startsWith("application/json")) {
      const said = answer.redirected || answer.ok ? "Log in again: load the page anew." : words(await answer.text());
      throw new Error(said || `The web UI answered with ${answer.status}.`);
    }
    const told = await answer.json();
    if (!answer.ok) throw new Error(words(told.problem, 2000) || `The web UI answered with ${answer.status}.`);
    return { answer, told };
  }

  const post = async (url, value) =>
    (await ask(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(value) })).told;

  const rest = (ms) => new Promise((done) => setTimeout(done, ms));

  // A job to its end; `tell` hears how far it is. Throws what the job says if it failed.
  async function job(url, value, tell) {
    let now = await post(url, value);
    while (now.state === "waiting" || now.state === "running") {
      tell(now.state === "waiting" ? `in line, ${now.before} before it` : `${Math.round(now.seconds)} s`);
      await rest(300);
      now = (await ask(`${base}jobs/${now.job}.json`)).told;
    }
    if (now.state !== "done") throw new Error(words(now.said, 2000) || "It could not be done.");
    return now;
  }

  return { DASH, base, known, number, count, bytes, duration, when, words, make, outside, button, link, path, ask, job };
})();
