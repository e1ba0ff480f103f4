"""The page of results without its runs: `static/results.js` fetches those and writes them with `textContent`."""

from typing import Final

__all__ = ["BODY"]

BODY: Final = """<link rel="stylesheet" href="{assets}/results.css">
<header class="results-head">
  <div><h1>Results</h1><p class="sub" id="results-place"></p></div>
  <div class="results-find">
    <label for="results-search">Search</label>
    <input id="results-search" type="search" placeholder="name, model, host, label" autocomplete="off" spellcheck="false">
  </div>
  <div class="results-find narrow">
    <label for="results-verdict">Verdict</label>
    <select id="results-verdict">
      <option value="">all</option><option value="valid">valid</option><option value="suspect">suspect</option>
      <option value="invalid">invalid</option><option value="none">none yet</option>
    </select>
  </div>
</header>
<p class="alert" id="results-busy" hidden></p>
<p class="alert bad" id="results-problem" role="alert" hidden></p>
<section class="card results-outcome" id="compare-outcome" aria-live="polite" hidden></section>
<p class="sub" id="results-count" aria-live="polite">Reading the runs&hellip;</p>
<section class="card results-none" id="results-none" hidden></section>
<section class="card results-card" id="results-card" hidden>
  <table class="results" id="results-table">
    <thead><tr>
      <th scope="col" class="pick"><span class="unseen">Pick for a comparison</span></th>
      <th scope="col">Run</th><th scope="col">Verdict</th>
      <th scope="col">System tok/s</th><th scope="col">TTFT p50</th>
      <th scope="col">Requests</th><th scope="col">Time</th><th scope="col"><span class="unseen">Report and details</span></th>
    </tr></thead>
  </table>
  <p class="results-more" id="results-more" hidden><button type="button">Show more</button></p>
</section>
<aside class="compare-bar" id="compare-bar" aria-label="Comparison" hidden></aside>
"""
