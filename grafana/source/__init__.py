"""The dashboards as they are written by hand; `generate` makes the JSON of them.

`overview`, `account` and `exporter` are the dashboards. The other modules are what these are made of.
"""
