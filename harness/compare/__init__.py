"""`tokenswarm compare BASE NEW...`: whether a run is worse than another, beyond noise, and by how much.

    runs ─► likeness ─► cells ─► judgement ─► console, Markdown, HTML, JSON
    (read)  (refuse)    (Welch)  (words, exit code)

It reads `summary.json` and `run.json` alone. What a level's passes differ by among themselves is the noise that a
difference between two runs has to rise above; docs/compare.md has the rule, its measured false alarms and its power.
"""
