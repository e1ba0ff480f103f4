"""Grafana: dashboards made from code, links to them, and the few things that are asked of a Grafana."""
