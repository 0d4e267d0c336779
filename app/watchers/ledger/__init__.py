"""The ledger: every run with its end, every transition, every order, kept over the lives of the service.

`account.py` says what becomes of an event (pure), `schema.py` what the file looks like, `book.py` reads and writes it,
`retention.py` keeps it small, `writer.py` is the one thread that may touch it, and `ledger.py` what the loop sees.

A watcher like any other: it reads the journal and delays nobody. Known wart: what stood in the journal for less time
than one write takes (some 50 ms) is lost when the service is killed; the keeper still knows how each run ended.
"""
