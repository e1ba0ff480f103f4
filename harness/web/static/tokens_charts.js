// Draws the figures when their data has changed: those out of sight seldom, all seldom enough that a slow machine keeps its time.
"use strict";
(() => {
  const {about, at, show, write, figures} = tokensPage;
  const NARROW_PX = 480, PAUSE_MS = 950, LONGEST_MS = 5000;
  const UNSEEN_MS = 10_000;  // out of sight: for whoever scrolls, prints or takes a picture of the page
  const SHARE = 8;  // what drawing takes of the time at most: one part in so many
  const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif';
  const CONFIG = {displaylogo: false, responsive: false, showTips: false, doubleClick: "reset", toImageButtonOptions: {format: "svg"},
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "toggleSpikelines", "zoomIn2d", "zoomOut2d", "sendChartToCloud"]};
  const hovers = matchMedia("(hover: hover)");
  const charts = Object.entries(figures).map(([key, figure]) => ({key, figure, place: at(`chart-${key}`), inSight: true, isDue: false, width: 0, drawn: null, drawnAt: 0}));
  let view = null, notBefore = 0, timer = 0;

  function coloured(value, dark) {
    if (typeof value === "string") return Object.hasOwn(dark, value) ? dark[value] : value;
    if (Array.isArray(value)) return typeof value[0] === "object" && value[0] !== null ? value.map((one) => coloured(one, dark)) : value;
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, coloured(part, dark)]));
  }

  function themed(figure, width) {
    const night = document.documentElement.dataset.theme === "dark", theme = about.themes[night ? "dark" : "light"];
    const {data, layout} = night ? coloured(figure, about.dark) : figure;
    Object.assign(layout, {width, autosize: false, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: {family: FONT, size: 12, color: theme.soft}, modebar: {bgcolor: "rgba(0,0,0,0)", color: theme.soft, activecolor: theme.ink},
      hoverlabel: {bgcolor: theme.card, bordercolor: theme.rule, align: "left", namelength: -1, font: {family: FONT, size: 12, color: theme.ink}}});
    const narrow = width < NARROW_PX;
    for (const name of Object.keys(layout).filter((one) => /^[xy]axis\d*$/.test(one))) {
      layout[name] = {gridcolor: theme.rule, linecolor: theme.rule, zerolinecolor: theme.rule, tickcolor: theme.rule, spikecolor: theme.soft,
        spikethickness: 1, nticks: name[0] === "x" ? (narrow ? 5 : 9) : 6, ...layout[name]};
    }
    for (const shape of layout.shapes.filter((one) => one.name === "shade")) Object.assign(shape, {fillcolor: theme.shade, opacity: 0.07});
    for (const said of layout.annotations || []) said.font.color = said.name === "hand" ? theme.ink : theme.soft;
    for (const trace of data.filter((one) => one.fill)) trace.fillcolor = `${trace.line.color}33`;
    if (narrow) {
      layout.margin = {...layout.margin, l: 48, r: 8};
      layout.dragmode = false;  // a finger that scrolls must not zoom
      layout.legend = {...layout.legend, entrywidth: 0.48, entrywidthmode: "fraction"};
      layout.height += layout.height > 400 ? 60 : 20;  // its legend takes lines
    }
    return {data, layout, config: {...CONFIG, displayModeBar: hovers.matches && !narrow ? "hover" : false}};
  }

  function draw(chart) {
    chart.isDue = false;
    chart.drawn = view.id;
    chart.drawnAt = performance.now();
    const said = tokensPage.note[chart.key], drawn = globalThis.Plotly !== undefined && chart.figure.has(view);
    write(at(`note-${chart.key}`), said ? said(view) : "");
    show(chart.place, drawn);
    show(at(`empty-${chart.key}`), !drawn);
    if (!drawn) {
      write(at(`empty-${chart.key}`), globalThis.Plotly ? chart.figure.empty(view) : "plotly is not installed where Locust runs, so there are no charts");
      return;
    }
    chart.width = Math.max(240, chart.place.clientWidth);
    const {data, layout, config} = themed(chart.figure.draw(view, chart.width), chart.width);
    globalThis.Plotly.react(chart.place, data, layout, config);
  }

  function isTurn(chart) {
    return chart.inSight || view.isOver || chart.drawn !== view.id || !chart.figure.has(view) || performance.now() - chart.drawnAt > UNSEEN_MS;
  }

  function drawDue() {
    timer = 0;
    if (view === null || document.hidden) return;
    const due = charts.filter((chart) => chart.isDue && isTurn(chart));
    if (due.length === 0) return;
    const rest = view.isOver || due.some((chart) => chart.drawn !== view.id) ? 0 : notBefore - performance.now();
    if (rest > 0) {
      timer = setTimeout(drawDue, rest);
      return;
    }
    const begun = performance.now();
    due.forEach(draw);
    notBefore = performance.now() + Math.min(LONGEST_MS, Math.max(PAUSE_MS, SHARE * (performance.now() - begun)));
  }

  const later = () => { timer ||= setTimeout(drawDue, 0); };

  function redraw(some = charts) {
    some.forEach((chart) => { chart.isDue = true; });
    later();
  }

  function atOnce(some = charts) {  // other colours, another width, another run
    clearTimeout(timer);
    timer = notBefore = 0;
    for (const chart of some) chart.drawn = null;
    redraw(some);
  }

  const size = new ResizeObserver((entries) => {
    const resized = charts.filter((chart) => chart.width && entries.some((one) => one.target === chart.place)
      && chart.place.clientWidth && Math.abs(chart.place.clientWidth - chart.width) >= 1);
    if (resized.length) atOnce(resized);
  });
  const sight = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const chart = charts.find((one) => `figure-${one.key}` === entry.target.id);
      chart.inSight = entry.isIntersecting;
    }
    later();
  }, {rootMargin: "300px"});
  for (const chart of charts) {
    size.observe(chart.place);
    sight.observe(at(`figure-${chart.key}`));
  }
  addEventListener("tokenswarm-theme", () => atOnce());
  document.addEventListener("visibilitychange", later);

  // `view`: id of the run, `series`, its times `t`, `begin` and `end` (Unix ms), `segments`, `errors`, `isOver`.
  tokensPage.charts = (latest, {isNew}) => {
    view = latest;
    (isNew ? atOnce : redraw)();
  };
})();
