// Numbers and texts as report.html and the console have them, and what puts them onto the page: as text, never as markup.
"use strict";
(() => {
  const about = JSON.parse(document.getElementById("tokens").dataset.about);
  const DASH = "\u2013";
  const SHORT = 200, LONG = 2000;  // characters of a name, and of whatever else

  // With so many decimals; a tie goes to the even digit, as Python's does. x * 2^(d+1) is odd at a tie and nowhere else.
  function fixed(value, decimals) {
    const said = value.toFixed(decimals), twice = Math.abs(value) * 2 ** (decimals + 1);
    const last = said.charCodeAt(said.length - 1) - 48;
    return Number.isInteger(twice) && twice % 2 === 1 && last % 2 === 1 ? said.slice(0, -1) + (last - 1) : said;
  }

  const known = (value) => (typeof value === "number" && Number.isFinite(value) ? value : null);

  // harness.grid.number: one decimal below 1,000, whole below 100,000, then k and M.
  function number(value, scale = 1) {
    if (known(value) === null) return DASH;
    const scaled = value * scale, size = Math.abs(scaled);
    if (size < 10 && scaled !== Number(fixed(scaled, 1))) return fixed(scaled, 2);
    if (size < 999.95) return fixed(scaled, 1);
    if (size < 99999.5) return fixed(scaled, 0);
    return size < 999500 ? fixed(scaled / 1e3, 0) + "k" : fixed(scaled / 1e6, 1) + "M";
  }

  const count = (value) => (known(value) === null ? DASH : Math.round(value).toLocaleString("en-US"));
  const many = (value, word) => `${count(value)} ${word}${value === 1 ? "" : "s"}`;

  function duration(seconds) {
    if (known(seconds) === null) return DASH;
    const whole = Math.max(0, Math.round(seconds)), two = (part) => String(part).padStart(2, "0");
    const minutes = Math.floor(whole / 60), hours = Math.floor(minutes / 60);
    return hours ? `${hours}:${two(minutes % 60)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
  }

  // One line of printable characters, and of a long text its beginning (harness.grid.clean, harness.report.text.cut).
  function words(text, most = LONG) {
    const whole = text === null || text === undefined ? "" : String(text);
    const line = whole.slice(0, most).replace(/\s+/gu, " ").trim().replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "?");
    return whole.length > most ? `${line}\u2026 (${count(whole.length)} characters)` : line;
  }

  const at = (id) => document.getElementById(id);

  function write(element, text) {  // what has not changed is left alone: a selection stays, nothing is read out twice
    if (element.textContent !== text) element.textContent = text;
  }

  function show(element, whether) {
    if (element.hidden === whether) element.hidden = !whether;
  }

  function make(tag, text, kind) {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (kind) element.className = kind;
    return element;
  }

  // Children as many as values; `fill` writes one.
  function rows(parent, values, tag, fill) {
    while (parent.children.length > values.length) parent.lastElementChild.remove();
    values.forEach((value, index) => fill(parent.children[index] || parent.appendChild(make(tag)), value, index));
  }

  globalThis.tokensPage = {about, DASH, SHORT, LONG, known, number, count, many, duration, words, at, write, show, make, rows};
})();
