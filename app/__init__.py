"""Quarterdeck, the service around `supervisor_core`; the wheel calls this package `quarterdeck`.

Hence only relative imports of its own modules.
"""
