"""`scripts/mutants [WORD …]`: plant every defect (or those whose name has a word) and report what no test found."""

from __future__ import annotations

import queue
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from tests.mutants import Copy, Defect, defects

WORKERS = 2


def main(words: list[str]) -> int:
    chosen = [d for d in defects() if not words or any(word in d.name for word in words)]
    copies: queue.Queue[Copy] = queue.Queue()
    began = time.monotonic()

    def plant(defect: Defect) -> bool:
        copy = copies.get()
        try:
            found, _ = copy.finds(defect)
        finally:
            copies.put(copy)
        click.echo(f"{'found' if found else 'NOT FOUND'}  {defect.name}  {defect.test}")
        return found

    with tempfile.TemporaryDirectory() as folder:
        for number in range(WORKERS):
            copies.put(Copy(Path(folder, str(number))))
        with ThreadPoolExecutor(WORKERS) as pool:
            found = list(pool.map(plant, chosen))
    seconds = round(time.monotonic() - began)
    click.echo(f"{sum(found)} of {len(chosen)} planted defects were found, in {seconds} s")
    return 0 if all(found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
