// The seconds of the run under way, as tokens.json has sent them: rows by their place, of which the latest may be sent again.
"use strict";
(() => {
  const MOST = 7200;  // the server keeps half as many; whatever comes, the page does not grow
  const {known} = tokensPage;

  class Series {
    constructor() { this.clear(); }

    clear() {
      this.names = [];
      this.rows = [];
      this.first = this.next = 0;  // the places of the first row kept and of the next to come
      this.changed = true;
    }

    // False: this does not follow what is here, so that all is to be asked for again.
    take(said) {
      const from = known(said.from) ?? 0, next = known(said.next) ?? 0;
      const isWhole = said.replaced === true || from === 0;
      if (!isWhole && (from < this.first || from > this.next || next < this.next)) {
        this.clear();
        return false;
      }
      if (isWhole) {
        this.clear();
        this.first = from;
      }
      this.changed ||= said.rows.length > 0;
      this.names = said.columns;
      this.rows.length = from - this.first;
      for (const row of said.rows) this.rows.push(row);
      const extra = this.rows.length - MOST;
      if (extra > 0) {
        this.rows.splice(0, extra);
        this.first += extra;
      }
      this.next = this.first + this.rows.length;
      return true;
    }

    column(name) {
      const place = this.names.indexOf(name);
      return this.rows.map((row) => known(row[place]));
    }

    settled() {
      const place = this.names.indexOf("settled");
      return this.rows.map((row) => row[place] !== false);
    }

    last(name) {
      return known(this.rows.at(-1)?.[this.names.indexOf(name)]);
    }

    most(name) {
      return this.column(name).reduce((top, value) => (value !== null && (top === null || value > top) ? value : top), null);
    }

    // The latest second whose token rate stands, as an object; null without one.
    latest() {
      const settled = this.names.indexOf("settled"), rate = this.names.indexOf("system_output_tokens_per_s");
      const row = this.rows.findLast((one) => one[settled] !== false && known(one[rate]) !== null);
      return row ? Object.fromEntries(this.names.map((name, place) => [name, row[place]])) : null;
    }
  }

  tokensPage.Series = Series;
})();
