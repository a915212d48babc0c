"""Which files belong in an index, and why the others do not.

`find` walks and looks at names and stamps alone; `read_bytes` and `unfit` look inside one file.
"""

from ragkit.files.content import VERSION, read_bytes, unfit
from ragkit.files.repository import enclosing_repository
from ragkit.files.walk import find

__all__ = ["VERSION", "enclosing_repository", "find", "read_bytes", "unfit"]
