"""report.html: one run on one page that can be mailed, printed and opened offline in ten years.

    Material ─► page: verdict, headline, tables ─┐
            └─► charts: figures as plain data ───┴─► one file, plotly's JavaScript inside

Nothing is computed here that summary.json has; what is drawn besides (single requests, the run over time) comes from
requests.parquet, sampled by a fixed seed so that a page never grows with its run. Whatever came from outside (names,
settings, reasons, errors) is cleaned and escaped on its way in.
"""
