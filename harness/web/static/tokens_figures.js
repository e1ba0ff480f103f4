// The figures of the page: what stands in each, from the seconds so far. Plain objects for plotly; colours are those of the light.
"use strict";
(() => {
  const {about, known, number, words, many} = tokensPage;
  const {colours} = about;
  const SHADES = 200, NAME = 60, BINS = 150;
  const WIDTHS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400];

  // Plotly reads a kind of HTML in all it writes: entities are resolved, tags are not to be there (harness.report.shapes.inert).
  const inert = (text) => words(text, NAME).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;")
    .replace(/%\{/g, "%&#123;");

  // Time since load began, in a unit that keeps its numbers short.
  const UNITS = [[600, 1, "s"], [10_800, 60, "min"], [Infinity, 3600, "h"]];  // up to so many seconds, its length, its name
  function clock(view) {
    const [, length, unit] = UNITS.find(([most]) => view.end - view.begin < 1000 * most);
    return {unit, of: (ms) => (ms - view.begin) / (1000 * length),
      axis: {title: {text: "since load began", standoff: 8}, ticksuffix: ` ${unit}`, hoverformat: unit === "s" ? ",.0f" : ",.2f"}};
  }

  function trace(name, x, y, colour, unit, more = {}) {
    const {line, ...rest} = more;
    return {
      type: "scatter", mode: x.length <= 40 ? "lines+markers" : "lines", name, x, y, connectgaps: false,
      line: {color: colour, width: 1.8, ...line}, marker: {color: colour, size: 5},
      hovertemplate: `%{y:,.4~r} ${unit}`, ...rest,
    };
  }

  // What stands, and dotted what may still grow: that one begins at the last second that stands.
  function twice(name, x, y, settled, colour, unit, more) {
    const stands = y.map((value, i) => (settled[i] ? value : null));
    const open = y.map((value, i) => (!settled[i] || settled[i + 1] === false ? value : null));
    const all = [trace(name, x, stands, colour, unit, more)];
    if (settled.includes(false)) {
      all.push(trace(`${name}, under way`, x, open, colour, unit,
        {...more, line: {...(more || {}).line, dash: "dot"}, opacity: 0.55, showlegend: false}));
    }
    return all;
  }

  const axis = (text, more) => ({title: {text, standoff: 8}, automargin: true, zeroline: false, rangemode: "tozero", ...more});

  // Every other segment shaded; a line where somebody's hand changed the load.
  function shades(view, of) {
    const found = [];
    view.segments.slice(-SHADES).forEach((one, index) => {
      const x0 = of(one.start_ms), x1 = of(known(one.end_ms) ?? view.end);
      if (index % 2 === 0) found.push({type: "rect", name: "shade", layer: "below", xref: "x", yref: "paper", x0, x1, y0: 0, y1: 1, line: {width: 0}});
      if (one.label) found.push({type: "line", name: "hand", xref: "x", yref: "paper", x0, x1: x0, y0: 0, y1: 1,
        line: {color: colours.limit, width: 1.5, dash: "dash"}});
    });
    return found;
  }

  // Names of segments above the plot, as many as there is room for; those of a change by hand first.
  function names(view, of, width) {
    const px = Math.max(120, width - 90), span = Math.max(1, view.end - view.begin), taken = [], found = [];
    const segments = view.segments.slice(-SHADES);
    for (const one of [...segments.filter((s) => s.label), ...segments.filter((s) => !s.label)]) {
      const text = words(one.label || one.title, NAME), from = ((one.start_ms - view.begin) / span) * px;
      const until = from + text.length * 6.2 + 8;
      const room = one.label ? px : (((known(one.end_ms) ?? view.end) - view.begin) / span) * px;
      if (!text || until > room + 14 || taken.some(([a, b]) => from < b && until > a)) continue;
      taken.push([from, until]);
      found.push({text: inert(text), x: of(one.start_ms), y: 1, xref: "x", yref: "paper", xanchor: "left", yanchor: "bottom", showarrow: false,
        font: {size: 11}, name: one.label ? "hand" : "title"});
    }
    return found;
  }

  function layout(view, height, more = {}) {
    const {of, unit, axis: time} = clock(view);
    const {xaxis, ...rest} = more;
    const include = [0, of(Math.max(view.end, view.begin + 10_000))];
    return {
      height, margin: {l: 58, r: 14, t: 10, b: 42, pad: 0}, showlegend: true, hovermode: "x unified",
      legend: {orientation: "h", x: 0, xanchor: "left", y: 1.02, yanchor: "bottom"}, uirevision: `${view.id} ${unit}`,
      xaxis: {...time, autorangeoptions: {include}, automargin: true, zeroline: false, showgrid: false, ...xaxis}, shapes: shades(view, of), ...rest,
    };
  }

  function rates(view, width) {
    const s = view.series, {of} = clock(view), x = view.t.map(of), settled = s.settled(), users = s.column("users");
    const data = [
      ...twice("system output", x, s.column("system_output_tokens_per_s"), settled, colours.output, "tok/s"),
      ...twice("system total", x, s.column("system_total_tokens_per_s"), settled, colours.total, "tok/s", {visible: "legendonly"}),
      trace("request p50", x, s.column("request_tokens_per_s_p50"), colours.each, "tok/s", {yaxis: "y2"}),
      trace("request p10", x, s.column("request_tokens_per_s_p10"), colours.each, "tok/s", {yaxis: "y2", line: {dash: "dash", width: 1.3}}),
      trace("users", x, users, colours.given, "users", {yaxis: "y3", mode: "lines", line: {shape: "hv"}, fill: "tozeroy"}),
      trace("in flight", x, s.column("in_flight"), colours.waiting, "in flight", {yaxis: "y3", mode: "lines", line: {shape: "hv", width: 1.3}}),
    ].filter((one) => one.name !== "users" || users.some((value) => value));
    const over = {hoversubplots: "axis", annotations: names(view, of, width), legend: {...layout(view, 0).legend, y: 1.06}};
    return {data, layout: layout(view, 560, {...over, xaxis: {anchor: "y3"}, yaxis: axis("system tok/s", {domain: [0.6, 1]}),
      yaxis2: axis("tok/s per request", {domain: [0.25, 0.55]}), yaxis3: axis("users, in flight", {domain: [0, 0.19], nticks: 4})})};
  }

  const lines = (figure, title, unit, parts, scale = 1) => (view) => {
    const {of} = clock(view), x = view.t.map(of);
    const looks = {p50: [colours.median, {}], p95: [colours.tail, {}], p99: [colours.tail, {line: {dash: "dot", width: 1.3}}]};
    const data = parts.map((part) => {
      const y = view.series.column(`${figure}_${part}`).map((value) => (value === null ? null : value * scale));
      return trace(part, x, y, looks[part][0], unit, looks[part][1]);
    });
    return {data, layout: layout(view, 300, {yaxis: axis(title)})};
  };

  function flight(view) {
    const {of} = clock(view), x = view.t.map(of), s = view.series, steps = {mode: "lines", line: {shape: "hv"}};
    return {data: [trace("in flight", x, s.column("in_flight"), colours.each, "in flight", steps),
      trace("backlog", x, s.column("backlog"), colours.failed, "waiting", steps)],
    layout: layout(view, 300, {yaxis: axis("requests")})};
  }

  // Failures are few and a second is narrower than a line: bins, as wide as leaves some 150.
  function errors(view) {
    const {of} = clock(view), {classes, rows} = view.errors;
    const wide = WIDTHS_S.find((one) => (view.end - view.begin) / 1000 / one <= BINS) ?? WIDTHS_S.at(-1);
    const data = classes.map((name, place) => {
      const sums = new Map();
      for (const row of rows) {
        const bin = Math.max(0, Math.floor((row[0] - view.begin) / 1000 / wide));
        if (row[place + 1]) sums.set(bin, (sums.get(bin) || 0) + row[place + 1]);
      }
      const order = about.errors.indexOf(name), broad = of(view.begin + 1000 * wide);
      return {type: "bar", name: inert(name), x: [...sums.keys()].map((bin) => of(view.begin + (bin + 0.5) * wide * 1000)), y: [...sums.values()],
        width: broad, marker: {color: colours.classes[(order < 0 ? place : order) % colours.classes.length], line: {width: 0}},
        hovertemplate: "%{y:,}"};
    });
    return {data, layout: layout(view, 300, {barmode: "stack", bargap: 0, yaxis: axis(`failed in ${wide === 1 ? "1 s" : `${wide} s`}`)})};
  }

  function client(view) {
    const {of} = clock(view), x = view.t.map(of), s = view.series, {cpu_percent: most, lag_ms: late} = about.limits;
    const limit = (value, unit, more) => trace(`limit ${number(value)} ${unit}`, [x[0], x.at(-1)], [value, value], colours.limit, unit,
      {mode: "lines", line: {dash: "dash", width: 1.3}, hoverinfo: "skip", hovertemplate: null, showlegend: false, ...more});
    const data = [trace("CPU", x, s.column("cpu_percent"), colours.output, "%"), limit(most, "%"),
      trace("loop late", x, s.column("lag_ms"), colours.waiting, "ms", {yaxis: "y2"}), limit(late, "ms", {yaxis: "y2"})];
    return {data, layout: layout(view, 300, {hoversubplots: "axis", xaxis: {anchor: "y2"},
      yaxis: axis("CPU %", {domain: [0.56, 1], nticks: 4}), yaxis2: axis("late, ms", {domain: [0, 0.44], nticks: 4})})};
  }

  const has = (...columns) => (view) => columns.some((name) => view.series.column(name).some((value) => value !== null));
  const waiting = (view) => (view.isOver ? "not measured" : "waiting for the first answers");

  // What draws each, whether there is anything to draw, and what to say where there is not.
  tokensPage.figures = {
    rates: {draw: rates, has: (view) => view.t.length > 0, empty: waiting},
    ttft: {draw: lines("ttft_ms", "TTFT ms", "ms", ["p50", "p95", "p99"]), has: has("ttft_ms_p50"), empty: waiting},
    tpot: {draw: lines("tpot_ms", "TPOT ms", "ms", ["p50", "p95"]), has: has("tpot_ms_p50"), empty: waiting},
    e2e: {draw: lines("e2e_ms", "E2E s", "s", ["p50", "p95", "p99"], 1e-3), has: has("e2e_ms_p50"), empty: waiting},
    flight: {draw: flight, has: has("in_flight", "backlog"), empty: waiting},
    errors: {draw: errors, has: (view) => view.errors.rows.length > 0, empty: (view) => (view.isOver ? "no errors" : "no errors so far")},
    client: {draw: client, has: has("cpu_percent", "lag_ms"), empty: (view) => (view.isOver ? "not measured" : "waiting for the first second")},
  };
  tokensPage.note = {
    rates: (view) => (view.series.settled().includes(false) ? "Dotted: answers under way, whose tokens are not all counted yet." : ""),
    errors: (view) => (view.errors.rows.length ? `${many(view.errors.total, "failed request")} ${view.isOver ? "in all" : "so far"}.` : ""),
  };
})();
