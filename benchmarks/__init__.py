"""Quarterdeck beside its rivals, in one run: what is measured, by what, and for whom it is fair. README.md explains it.

Nothing in here is product or test, and neither needs it. Only the standard library, and Linux.
"""
