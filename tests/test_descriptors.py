"""A bridge asks for all the open files that it may have: in a process of its own, whose limit is its own."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import resource
from bridge.descriptors import open_file_limits, raise_open_file_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 300))
print(open_file_limits(), raise_open_file_limit(), open_file_limits())
"""


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "(100, 300) 300 (300, 300)"
