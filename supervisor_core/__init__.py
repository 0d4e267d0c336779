"""An asyncio supervisor for workers: coroutines, functions and programs. Standard library only."""
