"""Freed memory is kept where that is asked for."""

import os
import platform
import subprocess
import sys

import pytest

from triform.base.malloc import NAMES

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")

ROUNDS, MEGABYTES = 50, 8
PROGRAM = f"""
import resource, sys
import numpy as np
from triform.base.malloc import keep_freed_memory, return_freed_memory
kept = sys.argv[1] != "leave" and keep_freed_memory()
if sys.argv[1] == "return":
    kept = return_freed_memory()
def touch():
    np.ones({MEGABYTES} * 2**20, np.uint8)
touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range({ROUNDS}):
    touch()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(way: str, **more: str) -> tuple[str, int]:
    environment = {name: value for name, value in os.environ.items() if name not in NAMES}
    command = [sys.executable, "-c", PROGRAM, way]
    answer = subprocess.run(
        command, env=environment | more, capture_output=True, text=True, check=True
    )
    stored, count = answer.stdout.split()
    return stored, int(count)


def test_large_arrays_are_not_asked_of_the_system_again():
    stored, few = page_faults("keep")
    _, many = page_faults("leave")
    assert stored == "True"
    assert few < ROUNDS < many


def test_large_arrays_are_returned_after_all():
    assert page_faults("return")[1] > ROUNDS


def test_what_the_environment_says_stays():
    assert page_faults("keep", MALLOC_TRIM_THRESHOLD_="131072")[0] == "False"


TRIM = """
import numpy as np, psutil
from triform.base.malloc import keep_freed_memory, trim_memory
keep_freed_memory()
size = lambda: psutil.Process().memory_info().rss >> 20
before = size()
parts = [np.ones(2**20, np.uint8) for _ in range(100)]
del parts
kept = size()
trim_memory()
print(kept - before, size() - before)
"""


def test_freed_memory_is_returned_on_request():
    environment = {name: value for name, value in os.environ.items() if name not in NAMES}
    command = [sys.executable, "-c", TRIM]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    kept, returned = map(int, answer.stdout.split())
    assert kept >= 95  # of 100 MiB; libraries that come later may free some of their own
    assert returned <= 5
