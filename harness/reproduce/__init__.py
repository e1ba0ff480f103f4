"""`make reproduce-tables`: published benchmarks once more, against profiles that imitate the published systems.

    profile (data) -> tokenswarm simulate -> locust -> requests.parquet -> figures -> published beside measured

It is a test of the whole: what a known system's published figures are, and whether this harness, measuring a
server that behaves like it, arrives at them. Nothing is scaled and nothing is read from the server but its
answers.
"""
