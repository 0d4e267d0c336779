"""The keeper: a small process of its own that owns processes and log bytes, and lives on when the service dies.

`keeper.py` is that process, `client.py` the spawner in the service that talks to it. In between only `wire.py`.
"""
