// The Chat page. The conversation lives here and goes along with each question; its text reaches the page through chat_text.js.
"use strict";
(() => {
  const base = document.body.dataset.base;
  const at = (id) => document.getElementById(id);
  const { Text, show } = window.tokenswarmText;
  const FIGURES = ["ttft_s", "tpot_ms", "output_tokens_per_s", "latency_s"];
  const UNITS = { ttft_s: "s", tpot_ms: "ms", output_tokens_per_s: "tok/s", latency_s: "s" };
  const turns = []; // {question, text, thoughts, figures, outcome}: what the server has been asked
  let server = {};
  let current = null; // the answer under way

  const make = (name, className, text) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const number = (value, unit) => {
    if (value === null || value === undefined) return "\u2013";
    if (unit === "s") return value < 0.01 ? value.toFixed(4) : value < 100 ? value.toFixed(3) : value.toFixed(1);
    return value < 10 ? value.toFixed(2) : value < 1000 ? value.toFixed(1) : Math.round(value).toLocaleString("en");
  };
  const trouble = (text) => {
    at("trouble").textContent = text ? show(text) : "";
    at("trouble").hidden = !text;
  };
  const status = (text) => { at("status").textContent = text; };

  // ---- what is talked to

  const options = (select, values, chosen, first) => {
    select.textContent = "";
    for (const value of first === undefined ? values : ["", ...values]) {
      const option = make("option", "", value === "" ? first : show(value));
      option.value = value;
      option.selected = value === chosen;
      select.append(option);
    }
  };
  const told = () => {
    const learnt = server.learnt || {};
    const said = [server.backend && `${server.backend} (${server.mode}) at ${server.host}${server.path}`];
    if (server.streams === false) said.push("whole answers, not streamed: no TTFT, no TPOT");
    if (learnt.version) said.push(`version ${learnt.version}`);
    if (learnt.slots) said.push(`${learnt.slots} slots`);
    if (learnt.context) said.push(`context ${learnt.context.toLocaleString("en")} tokens`);
    at("server").textContent = show(said.filter(Boolean).join(" \u00b7 ") || "No server to talk to");
  };
  const look = async () => {
    const query = new URLSearchParams({ api_mode: at("api_mode").value, kind: at("kind").value });
    try {
      const response = await fetch(`${base}/tokenswarm/chat/models.json?${query}`);
      server = await response.json();
    } catch {
      return trouble("this page's own server does not answer, or you are not logged in any more: load the page again");
    }
    trouble(server.error);
    told();
    at("running").hidden = !server.is_running;
    at("roles").hidden = server.takes_turns !== false;
    options(at("api_mode"), server.modes || [], at("api_mode").value, `as the load${server.mode && !at("api_mode").value ? ` (${server.mode})` : ""}`);
    options(at("kind"), server.kinds || [], at("kind").value || (server.kinds || [])[0]);
    at("kind-row").hidden = (server.kinds || []).length < 2;
    at("models").textContent = "";
    for (const model of server.models) at("models").append(Object.assign(document.createElement("option"), { value: model }));
    const named = server.model || (server.models.length ? server.models[0] : "");
    at("model").placeholder = named ? show(named) : "the server\u2019s own";
    if (!at("model").value && !server.model && server.models.length > 1) at("model").value = server.models[0];
    at("extra-fields").textContent = (server.extra_fields || []).length ? show(`, beside those of --extra-body: ${server.extra_fields.join(", ")}`) : "";
  };

  // ---- one answer on the page

  const fact = (list, name, value, unit) => {
    const box = make("div");
    box.append(make("dt", "", name), make("dd", "", unit && value !== "\u2013" ? `${value} ${unit}` : value));
    list.append(box);
  };
  const count = (value, source) =>
    value === null ? "\u2013" : `${value.toLocaleString("en")}${source && source !== "server" ? ` (${source})` : ""}`;
  const facts = (figures) => {
    const list = make("dl", "figures");
    fact(list, "TTFT", number(figures.ttft_s, "s"), "s");
    if (figures.ttfa_s !== null && figures.ttfa_s !== figures.ttft_s) fact(list, "to the answer", number(figures.ttfa_s, "s"), "s");
    fact(list, "TPOT", number(figures.tpot_ms), "ms");
    fact(list, "throughput", number(figures.output_tokens_per_s), "tok/s");
    fact(list, "latency", number(figures.latency_s, "s"), "s");
    fact(list, "prompt", count(figures.prompt_tokens, figures.prompt_token_source), "tokens");
    fact(list, "output", count(figures.output_tokens, figures.token_source), "tokens");
    if (figures.cached_tokens !== null) fact(list, "cached", count(figures.cached_tokens), "tokens");
    const names = {
      queue_ms: ["queue", "ms"], prefill_ms: ["prefill", "ms"], decode_ms: ["decode", "ms"], ttft_ms: ["TTFT", "ms"], e2e_ms: ["E2E", "ms"],
      tokens_per_s: ["rate", "tok/s"], acceptance_rate: ["acceptance", ""], batch_size: ["batch", ""],
    };
    for (const [name, value] of Object.entries(figures.server)) fact(list, `server: ${names[name][0]}`, number(value), names[name][1]);
    if (figures.finish_reason) fact(list, "end", show(figures.finish_reason));
    list.title = `request ${figures.request_id}`;
    return list;
  };
  const median = (values) => {
    const sorted = values.filter((value) => value !== null).sort((a, b) => a - b);
    const half = sorted.length >> 1;
    return sorted.length ? (sorted[half] + sorted[(sorted.length - 1) >> 1]) / 2 : null;
  };
  const tiles = () => {
    const done = turns.filter((turn) => turn.outcome === "ok");
    for (const name of FIGURES) {
      const value = median(done.map((turn) => turn.figures[name]));
      at(`tile-${name}`).textContent = value === null ? "\u2013" : `${number(value, UNITS[name])} ${UNITS[name]}`;
    }
    at("medians").textContent = done.length
      ? `Median of ${done.length} ${done.length === 1 ? "answer" : "answers"}.`
      : "Medians over the answers of this conversation will stand above.";
    at("save").disabled = !turns.length;
  };
  const follow = (change) => { // keeps the end in sight for whoever is there
    const log = at("log");
    const near = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
    change();
    if (near) log.scrollTop = log.scrollHeight;
  };

  class Shown {
    constructor(question) {
      this.turn = { question, text: new Text("answer"), thoughts: null, figures: null, outcome: "under way", model: null };
      const asked = make("article", "said user");
      const words = new Text("question");
      words.add(question);
      asked.append(make("h3", "", "You"), words.box, words.more);
      this.box = make("article", "said model waits");
      this.head = make("h3", "", "Model");
      this.box.append(this.head, this.turn.text.box, this.turn.text.more);
      at("empty").hidden = true;
      at("log").append(asked, this.box);
      at("log").scrollTop = at("log").scrollHeight;
      this.asked = asked;
    }
    begin(said) {
      this.turn.model = said.model;
      if (said.model) this.head.textContent = show(said.model);
      at("running").hidden = !said.is_running;
      for (const note of said.notes) this.box.append(make("p", "note", show(note)));
    }
    text(said) {
      follow(() => {
        if (said.reasoning) {
          if (!this.turn.thoughts) {
            this.turn.thoughts = new Text("thoughts");
            const fold = make("details", "fold");
            fold.open = true;
            fold.append(make("summary", "", "Reasoning"), this.turn.thoughts.box, this.turn.thoughts.more);
            this.head.after(fold);
          }
          this.turn.thoughts.add(said.reasoning);
        }
        if (said.answer) this.turn.text.add(said.answer);
      });
    }
    end(figures) {
      follow(() => {
        this.turn.figures = figures;
        this.turn.outcome = figures.outcome;
        if (figures.error) this.mark(figures.error);
        if (figures.latency_s !== null) this.box.append(facts(figures));
        this.box.classList.remove("waits");
      });
    }
    mark(error) {
      const stopped = error.class === "cancelled";
      const words = stopped ? "Stopped: this is what had come." : `Failed (${error.class}): ${error.message}`;
      this.box.classList.add(stopped ? "stopped" : "failed");
      const box = make("p", `mark ${stopped ? "stopped" : "failed"}`, show(words));
      if (error.remedy) box.append(make("span", "sub", ` ${error.remedy}`));
      this.box.append(box);
      if (!this.turn.text.size) this.box.append(make("p", "note", "The question is no part of the conversation: nothing came back."));
    }
    lost(words) {
      this.turn.outcome = "lost";
      this.mark({ class: "connection", message: words, remedy: "" });
      this.box.classList.remove("waits");
    }
    drop() {
      this.asked.remove();
      this.box.remove();
      at("empty").hidden = turns.length > 0;
    }
  }

  // ---- asking

  const history = () => turns.filter((turn) => turn.text.size).flatMap((turn) => [
    { role: "user", content: turn.question },
    { role: "assistant", content: turn.text.whole },
  ]);
  const chosen = () => Object.fromEntries(new FormData(at("choices")));
  const events = async function* (body) {
    const reader = body.getReader();
    const decoder = new TextDecoder();
    let parts = [];
    for (;;) {
      const { done, value } = await reader.read();
      const lines = decoder.decode(value, { stream: !done }).split("\n");
      parts.push(lines.shift());
      for (const line of lines) {
        const whole = parts.join("");
        parts = [line];
        if (whole) yield JSON.parse(whole);
      }
      if (done) return;
    }
  };
  const busy = (is) => {
    at("send").disabled = is;
    at("stop").disabled = !is;
    at("ask").classList.toggle("busy", is);
  };
  const heard = (shown, said) => {
    if (said.type === "begin") {
      current.id = said.id;
      if (current.stopping) stop();
      shown.begin(said);
    } else if (said.type === "text") {
      shown.text(said);
    } else if (said.type === "end") {
      if (said.answer !== undefined) shown.turn.text.replace(said.answer);
      shown.end(said.figures);
    }
  };
  const ask = async (question) => {
    trouble("");
    busy(true);
    status("Answering\u2026");
    const messages = [...history(), { role: "user", content: question }];
    const shown = new Shown(question);
    const mine = current = { abort: new AbortController(), id: null, stopping: false };
    let taken = false;
    try {
      const response = await fetch(`${base}/tokenswarm/chat.json`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ messages, settings: chosen(), kind: at("kind").value || null }),
        signal: mine.abort.signal,
      });
      if (!response.ok || !(response.headers.get("Content-Type") || "").includes("ndjson")) {
        const said = await response.json().catch(() => ({ error: `not taken on (${response.status}): are you still logged in?` }));
        throw new Error(said.error);
      }
      taken = true;
      for await (const said of events(response.body)) heard(shown, said);
      if (!shown.turn.figures && current === mine) shown.lost("the connection to this page's server broke");
    } catch (error) {
      if (current !== mine) return; // reset meanwhile
      if (taken) {
        shown.lost(mine.abort.signal.aborted ? "given up" : "the connection to this page's server broke");
      } else {
        shown.drop();
        trouble(mine.abort.signal.aborted ? "Stopped before it was asked." : String(error.message));
        if (!at("question").value) at("question").value = question;
      }
    }
    if (current !== mine) return;
    current = null;
    if (taken) turns.push(shown.turn);
    busy(false);
    tiles();
    const figures = shown.turn.figures;
    status(figures && figures.outcome === "ok" ? `Answered: TTFT ${number(figures.ttft_s, "s")} s, ${number(figures.output_tokens_per_s)} tokens/s, latency ${number(figures.latency_s, "s")} s.` : "");
  };
  const stop = () => {
    const mine = current;
    if (!mine) return;
    mine.stopping = true;
    if (!mine.id) return mine.asked ? mine.abort.abort() : (mine.asked = true);
    fetch(`${base}/tokenswarm/chat/stop.json`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ id: mine.id }),
    }).then((response) => { if (!response.ok) mine.abort.abort(); }, () => mine.abort.abort());
    setTimeout(() => { if (current === mine) mine.abort.abort(); }, 3000);
  };
  const reset = () => {
    if (current) {
      const mine = current;
      current = null;
      mine.abort.abort();
    }
    turns.length = 0;
    for (const said of [...at("log").querySelectorAll(".said")]) said.remove();
    at("empty").hidden = false;
    trouble("");
    status("");
    busy(false);
    tiles();
    at("question").focus();
  };
  const save = () => {
    const whole = {
      host: server.host, backend: server.backend, settings: chosen(),
      turns: turns.map((turn) => ({
        question: turn.question, model: turn.model, answer: turn.text.whole,
        reasoning: turn.thoughts ? turn.thoughts.whole : "", outcome: turn.outcome, figures: turn.figures,
      })),
    };
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(whole, null, 1)], { type: "application/json" }));
    link.download = "chat.json";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };

  at("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    const question = at("question").value;
    if (current || !question.trim()) return;
    at("question").value = "";
    ask(question);
  });
  at("question").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      at("ask").requestSubmit();
    }
  });
  at("choices").addEventListener("submit", (event) => event.preventDefault());
  at("stop").addEventListener("click", stop);
  at("reset").addEventListener("click", reset);
  at("save").addEventListener("click", save);
  at("api_mode").addEventListener("change", look);
  at("kind").addEventListener("change", look);
  if (matchMedia("(max-width: 760px)").matches) at("settings").open = false;
  tiles();
  look();
})();
