"""`python -m tests.fuzz --minutes 30`: search for bytes that do harm, for as long as you like.

Without `--guided`, cases are drawn from a seed that is printed, so a run can be repeated. With it (`--guided yjs`), one
decoder is searched by atheris, which follows what its bytes reach: `pip install atheris`. Exit code 1: harm was found.
"""

from __future__ import annotations

import argparse
import sys
from random import SystemRandom


def main() -> int:
    """Search; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long (1)")
    parser.add_argument("--seed", type=int, default=SystemRandom().getrandbits(32))
    parser.add_argument("--only", choices=["decoders", "documents"], help="search one of the two")
    parser.add_argument("--guided", metavar="DECODER", help="search one decoder with atheris")
    options = parser.parse_args()
    if options.guided:
        from tests.fuzz.guided import guided

        guided(options.guided, options.minutes)
        return 0

    from tests.fuzz.search import search_decoders, search_updates

    searches = {"decoders": search_decoders, "documents": search_updates}
    chosen = [options.only] if options.only else list(searches)
    print(f"seed {options.seed}", flush=True)
    harm = False
    for name in chosen:
        tried, findings = searches[name](options.seed, options.minutes * 60 / len(chosen))
        print(f"{name}: {tried:,} cases, {len(findings)} did harm", flush=True)
        for finding in findings:
            print(finding, flush=True)
        harm = harm or bool(findings)
    return int(harm)


if __name__ == "__main__":
    sys.exit(main())
