"""The time that ``diffanim --help`` takes, against an interpreter that does nothing. Prints the ratio.

python benchmarks/startup.py [--pairs 15]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time


def seconds(*arguments: str) -> float:
    """Wall time of one Python process."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Run both in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=15)
    pairs = parser.parse_args().pairs
    seconds("-m", "diffanim", "--help")  # Warm up the disk.
    times = [(seconds("-c", "pass"), seconds("-m", "diffanim", "--help")) for _ in range(pairs)]
    nothing, ours = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"python -c pass   {nothing * 1000:6.0f} ms (median of {pairs})")
    print(f"diffanim --help  {ours * 1000:6.0f} ms")
    print(f"ratio            {statistics.median(help / empty for empty, help in times):6.2f}")


if __name__ == "__main__":
    main()
