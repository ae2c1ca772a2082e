"""Run a command and say what it took: `python -S weigh.py REPORT PROGRAM ARGUMENTS…`.

A process of its own, and a small one: Linux counts the memory of the process
that starts another into the peak of the one started.
"""

import json
import os
import sys
import time

report, program, *arguments = sys.argv[1:]
began = time.perf_counter()
child = os.posix_spawn(program, [program, *arguments], os.environ)
_, status, used = os.wait4(child, 0)
found = {
    "wall": time.perf_counter() - began,
    "cpu": used.ru_utime + used.ru_stime,
    # Linux counts in KiB, macOS in bytes.
    "peak": used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10),
}
with open(report, "w", encoding="utf-8") as file:
    json.dump(found, file)
sys.exit(os.waitstatus_to_exitcode(status))
