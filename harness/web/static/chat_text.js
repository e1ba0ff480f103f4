// A model's text on the page: as text nodes only, with what would steer or turn it round shown, and no more of it at once than a
// page bears. Used by chat.js.
"use strict";
(() => {
  const FIRST = 20000; // characters shown of a long text
  const PIECE = 20000; // of a node: laying out one of a million takes seconds
  const ODD = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e0fff}]/gu;
  const show = (text) => text.replace(ODD, (odd) => `<U+${odd.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}>`);
  // Where to cut so that no character is torn.
  const edge = (text, at) => {
    const code = text.charCodeAt(at - 1);
    return code >= 0xd800 && code <= 0xdbff ? at - 1 : at;
  };

  class Text {
    constructor(name) {
      this.raw = [];
      this.size = 0;
      this.shown = 0;
      this.most = FIRST;
      this.box = document.createElement("div");
      this.box.className = `text ${name}`;
      this.box.dir = "auto";
      this.more = document.createElement("button");
      this.more.type = "button";
      this.more.className = "more";
      this.more.hidden = true;
      this.more.addEventListener("click", () => this.all());
      this.last = null;
    }
    get whole() { return this.raw.join(""); }
    add(text) {
      this.raw.push(text);
      this.size += text.length;
      const room = this.most - this.shown;
      if (room > 0) this.put(text.length <= room ? text : text.slice(0, edge(text, room)));
      this.tell();
    }
    replace(text) {
      this.raw = [];
      this.size = this.shown = 0;
      this.box.textContent = "";
      this.last = null;
      this.add(text);
    }
    put(text) {
      for (let at = 0; at < text.length;) {
        if (!this.last || this.last.length >= PIECE) {
          const span = document.createElement("span");
          this.last = span.appendChild(document.createTextNode(""));
          this.box.append(span);
        }
        const end = this.stop(text, at);
        this.last.appendData(show(text.slice(at, end)));
        if (end < text.length) this.last = null;
        this.shown += end - at;
        at = end;
      }
    }
    // A piece ends with a line where it can: pieces of a long text are blocks, laid out when they come into sight.
    stop(text, at) {
      if (text.length - at <= PIECE) return text.length;
      const line = text.lastIndexOf("\n", at + PIECE - 1);
      return line > at ? line + 1 : edge(text, at + PIECE);
    }
    tell() {
      const left = this.size - this.shown;
      this.more.hidden = left <= 0;
      if (left > 0) this.more.textContent = `Show all: ${left.toLocaleString("en")} more characters`;
    }
    all() {
      const whole = this.whole;
      this.most = Infinity;
      this.box.classList.add("long");
      this.box.textContent = "";
      this.last = null;
      this.shown = 0;
      this.put(whole);
      this.tell();
    }
  }
  window.tokenswarmText = { Text, show };
})();
