"""The host with a planted bug: it knows of no orphan, so that it believes an escaped tree to be gone."""

import asyncio

from supervisor_core.children.forest import Forest
from tests.faults.host import main

Forest.orphans = lambda self, *keys: {}
asyncio.run(main())
