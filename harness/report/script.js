"use strict";
// Draws every <div class="plot" id="plot-KEY"> from <script type="application/json" id="data-KEY">, one after the other,
// in the reader's colours: those of the system, and light ones on paper. `palette` is harness/report/palette.py.

const CONFIG = {displaylogo: false, responsive: false, showTips: false,
  modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "toggleSpikelines", "zoomIn2d", "zoomOut2d",
    "sendChartToCloud"],  // nothing leaves this page
  toImageButtonOptions: {format: "svg"}, doubleClick: "reset"};
const PAPER_PX = 660;  // about the width of a sheet between its margins
const NARROW_PX = 480;
const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif';
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const hovers = window.matchMedia("(hover: hover)");
const figures = [];
let printing = false;

function coloured(value) {  // the figure with the dark colours in place of the light ones
  if (typeof value === "string") return Object.hasOwn(palette.dark, value) ? palette.dark[value] : value;
  if (Array.isArray(value)) return value.length && typeof value[0] === "number" ? value : value.map(coloured);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, coloured(part)]));
}

function themed(figure, width) {
  const night = dark.matches && !printing;
  const theme = night ? palette.themes.dark : palette.themes.light;
  const whole = night ? coloured(figure) : JSON.parse(JSON.stringify(figure));
  const layout = whole.layout;
  layout.paper_bgcolor = layout.plot_bgcolor = "rgba(0,0,0,0)";
  layout.font = {family: FONT, size: 12, color: theme.soft};
  layout.hoverlabel = {bgcolor: theme.card, bordercolor: theme.rule, align: "left", namelength: -1,
    font: {family: FONT, size: 12, color: theme.ink}};
  layout.modebar = {bgcolor: "rgba(0,0,0,0)", color: theme.soft, activecolor: theme.ink};
  for (const name of Object.keys(layout)) {
    if (!/^[xy]axis\d*$/.test(name)) continue;
    layout[name] = {gridcolor: theme.rule, linecolor: theme.rule, zerolinecolor: theme.rule, tickcolor: theme.rule,
      ...layout[name]};
    if (width < NARROW_PX && layout[name].title) {
      layout[name].title = {...layout[name].title, font: {size: 11}, standoff: 4};
    }
    if (width < NARROW_PX && layout[name].type !== "category" && !layout[name].tickvals) {
      layout[name].nticks = name[0] === "x" ? 5 : 6;
    }
  }
  for (const shape of layout.shapes || []) {
    if (shape.name === "window") shape.fillcolor = theme.shade;
  }
  for (const trace of whole.data) {
    if (trace.legendgroup === "window") trace.marker.color = theme.shade;
  }
  if (width < NARROW_PX) {
    layout.margin = {...layout.margin, l: 46, r: 10};
    const keys = whole.data.filter((trace) => trace.showlegend !== false).length;
    if (layout.showlegend) layout.height += 19 * Math.max(0, keys - 2);  // they stand nearly one under the other
    layout.dragmode = false;  // a finger that scrolls must not zoom
    layout.annotations = (layout.annotations || []).filter((one) => one.name !== "roomy");
  }
  layout.width = width;
  layout.autosize = false;
  return whole;
}

function draw(one) {
  const width = Math.max(260, printing ? PAPER_PX : one.place.clientWidth);
  const whole = themed(one.figure, width);
  one.width = width;
  const bar = hovers.matches && width >= NARROW_PX && !printing ? "hover" : false;
  return window.Plotly.react(one.place, whole.data, whole.layout, {...CONFIG, displayModeBar: bar});
}

function drawAll() {
  return figures.map(draw);
}

function failed(place, error) {
  place.textContent = "This figure could not be drawn here: " + error;
}

function begin() {
  for (const place of document.querySelectorAll("div.plot[id^='plot-']")) {
    const source = document.getElementById("data-" + place.id.slice("plot-".length));
    if (!source) continue;
    try {
      figures.push({place, figure: JSON.parse(source.textContent), width: 0});
    } catch (error) {
      failed(place, error);
    }
  }
  next(0);
}

function next(number) {  // a figure at a time, so that a phone can scroll meanwhile
  if (number >= figures.length) {
    watch();
    document.documentElement.dataset.plots = "drawn";
    return;
  }
  const one = figures[number];
  try {
    if (!one.width) draw(one);
  } catch (error) {
    failed(one.place, error);
    figures.splice(number, 1);
    number -= 1;
  }
  window.setTimeout(() => next(number + 1), 0);
}

function watch() {
  dark.addEventListener("change", drawAll);
  window.addEventListener("beforeprint", () => onPaper(true));
  window.addEventListener("afterprint", () => onPaper(false));
  window.matchMedia("print").addEventListener("change", (event) => onPaper(event.matches));
  if (typeof ResizeObserver === "undefined") {
    window.addEventListener("resize", drawAll);
    return;
  }
  const observer = new ResizeObserver((entries) => {
    if (printing) return;
    for (const entry of entries) {
      const one = figures.find((other) => other.place === entry.target);
      if (one && one.place.clientWidth && Math.abs(one.place.clientWidth - one.width) >= 1) draw(one);
    }
  });
  for (const one of figures) observer.observe(one.place);
}

function onPaper(whether) {
  if (printing === whether) return;
  printing = whether;
  drawAll();
}

if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
else begin();
