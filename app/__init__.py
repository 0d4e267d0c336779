"""Quarterdeck, the service around `supervisor_core`. Only relative imports in here: the wheel calls it `quarterdeck`."""
