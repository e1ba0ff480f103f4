// Light or dark as Locust's page is: its switch keeps the choice in localStorage, and without one the system decides.
"use strict";
(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    let chosen = null;
    try { chosen = localStorage.theme; } catch { /* a browser without storage */ }
    const dark = chosen === "dark" || (chosen !== "light" && system.matches);
    root.dataset.theme = dark ? "dark" : "light";
    dispatchEvent(new Event("tokenswarm-theme"));
  };
  apply();
  system.addEventListener("change", apply);
  addEventListener("storage", apply);
})();
