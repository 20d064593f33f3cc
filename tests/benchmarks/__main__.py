"""How fast registrar is beside what people would use instead: `python -m tests.benchmarks [WORK …] [--json FILE]`.

Every figure is a ratio of two things that were run in turn, so it says the same on any machine: its median and spread.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests.benchmarks.contest import Row
from tests.benchmarks.works import WORKS, Setting

_HEADS = ("WORK", "AGAINST", "GOAL", "MEDIAN", "SPREAD", "CORES", "")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the works that are named, or all, and print each row as it comes; 1 where a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("works", nargs="*", metavar="WORK", help=f"of {', '.join(WORKS)}; all but ansible")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="how often each is run; default 5")
    parser.add_argument("--scale", type=int, default=1, metavar="N", help="divide the sizes by this")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was measured to this file")
    chosen = parser.parse_args(arguments)
    if unknown := [name for name in chosen.works if name not in WORKS]:
        parser.error(f"no such work: {', '.join(unknown)}")
    rows: list[Row] = []
    print(_shown(_HEADS))
    with tempfile.TemporaryDirectory(prefix="registrar-benchmark-") as folder:
        for name in chosen.works or [name for name in WORKS if name != "ansible"]:
            home = Path(folder, name)
            home.mkdir()
            for row in WORKS[name](Setting(home, chosen.repeats, chosen.scale)):
                rows.append(row)
                print(_shown(row.line()), flush=True)
                if row.notes:
                    print(f"  {row.notes}", flush=True)
    if chosen.json:
        told = [{**asdict(row), "median": row.median, "met": row.met} for row in rows]
        chosen.json.write_text(json.dumps({"repeats": chosen.repeats, "scale": chosen.scale, "rows": told}, indent=1))
    return 0 if all(row.met for row in rows) else 1


def _shown(cells: Sequence[str]) -> str:
    widths = (46, 38, 14, 15, 14, 7, 6)
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


if __name__ == "__main__":
    sys.exit(main())
