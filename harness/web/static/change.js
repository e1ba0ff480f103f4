// A form that changes load while a run goes on: users, or requests per second. It is put into <div id="change">.
"use strict";
(() => {
  const place = document.getElementById("change");
  if (!place) return;
  const address = `${document.body.dataset.base}/tokenswarm/change.json`;
  const EVERY_MS = 2000;
  const FIELDS = {
    users: [
      { name: "users", label: "Users", least: "0", step: "1" },
      { name: "spawn_rate", label: "started per second", least: "0.001", step: "any" },
    ],
    rate: [{ name: "rate", label: "Requests per second", least: "0.001", step: "any" }],
  };
  let shown = null; // the kind of the fields that are there
  let known = {}; // what the run holds, as last heard
  let form = null;
  let timer = 0;

  function make(tag, words, attributes = {}) {
    const element = document.createElement(tag);
    if (words) element.textContent = words;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  }

  function build() {
    const sheet = `${document.body.dataset.base}/tokenswarm/assets/change.css`;
    document.head.append(make("link", "", { rel: "stylesheet", href: sheet }));
    form = make("form", "", { class: "change", novalidate: "" });
    form.append(make("fieldset", "", { class: "change-fields", disabled: "" }));
    form.append(make("p", "", { class: "change-said", role: "status", "aria-live": "polite", id: "change-said" }));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      send();
    });
    place.append(form);
  }

  function fields(kind) {
    const set = form.querySelector("fieldset");
    set.replaceChildren(make("legend", "Change load"));
    for (const one of FIELDS[kind]) {
      const id = `change-${one.name}`;
      const field = make("div", "", { class: "change-field" });
      field.append(make("label", one.label, { for: id }));
      field.append(
        make("input", "", {
          id, name: one.name, type: "number", inputmode: "decimal", min: one.least, step: one.step,
          autocomplete: "off", "aria-describedby": "change-said",
        }),
      );
      set.append(field);
    }
    set.append(make("button", "Change", { type: "submit" }));
    shown = kind;
  }

  function say(words, isWrong, field = "") {
    const line = form.querySelector(".change-said");
    if (line.textContent !== words) line.textContent = words;
    line.classList.toggle("wrong", isWrong);
    for (const input of form.querySelectorAll("input")) input.setAttribute("aria-invalid", String(input.name === field));
  }

  // Fields follow the run unless somebody has typed into them.
  function follow(state) {
    const kind = state.kind || shown || "users";
    if (kind !== shown) fields(kind);
    for (const input of form.querySelectorAll("input")) {
      const before = known[input.name];
      const isOwn = input.value !== "" && input.value !== String(before ?? "");
      if (!isOwn && input !== document.activeElement) input.value = state[input.name] ?? "";
    }
    const wasFixed = Boolean(known.problem);
    known = state;
    form.querySelector("fieldset").disabled = Boolean(state.problem);
    if (state.problem) say(state.problem, false);
    else if (wasFixed) say("", false);
  }

  async function look() {
    clearTimeout(timer);
    try {
      const answer = await fetch(address, { credentials: "same-origin" });
      if (answer.ok) follow(await answer.json());
      else follow({ kind: shown, problem: `the page's process answers ${answer.status}: load it again` });
    } catch {
      follow({ kind: shown, problem: "the process that serves this page cannot be reached" });
    }
    timer = setTimeout(look, EVERY_MS);
  }

  function wanted() {
    const found = {};
    for (const input of form.querySelectorAll("input")) {
      const number = input.value.trim() === "" ? NaN : Number(input.value);
      found[input.name] = Number.isFinite(number) ? number : null; // which is refused, with the words for it
    }
    return found;
  }

  async function send() {
    const button = form.querySelector("button");
    button.disabled = true;
    try {
      const answer = await fetch(address, {
        method: "POST",
        credentials: "same-origin",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(wanted()),
      });
      const told = await answer.json();
      if (told.ok) {
        say(told.said, false);
        for (const input of form.querySelectorAll("input")) known[input.name] = input.value;
      } else say(told.problem, true, told.field);
    } catch {
      say("the process that serves this page cannot be reached", true);
    }
    button.disabled = false;
    if (timer) look();
  }

  build();
  fields("users");
  look();
})();
