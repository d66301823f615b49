"""A program that ends the process which started it, if code that lets nothing else run holds up that process.

The program is run by its path and imports nothing of AutoKD, so that it starts in milliseconds. Each line that it reads
sets a limit in seconds from then on, and 0 lifts the limit.
"""

from __future__ import annotations

import os
import select
import signal
import sys


def main() -> None:
    """Watches until the process that started it ends, or kills that process."""
    owner, said, left = os.getppid(), b"", 0.0
    while True:
        # By the second, so that time in which both processes are stopped, as by Ctrl-Z, does not count.
        if select.select([0], [], [], min(left, 1.0) if left else None)[0]:
            read = os.read(0, 65536)
            if not read:
                return
            *lines, said = (said + read).split(b"\n")
            left = float(lines[-1]) if lines else left
        elif left > 1:
            left -= 1
        else:
            break
    if os.getppid() == owner:
        sys.stderr.write(
            "\nautokd: suggest or build took too long and let nothing else run, so AutoKD ended the search. Run the "
            "same command again, which goes on; the student fails once it has ended three searches.\n"
        )
        os.kill(owner, signal.SIGKILL)


if __name__ == "__main__":
    main()
