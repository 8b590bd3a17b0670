"""One decoder, searched by atheris: libFuzzer, which keeps what reaches new code. Its finds go to the corpus."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["engineroom.protocols"]):
    from tests.fuzz.decoders import CORPUS, decoders
    from tests.fuzz.search import name_of


def guided(name: str, minutes: float) -> None:
    """Search one decoder; what reaches new code is put into its folder of the corpus."""
    decoder = decoders()[name]
    folder = CORPUS / name
    folder.mkdir(parents=True, exist_ok=True)
    for seed in decoder.seeds:
        (folder / name_of(seed)).write_bytes(seed)
    limits = [f"-max_total_time={int(minutes * 60)}", "-max_len=4096", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *limits, str(folder)], decoder.check)
    atheris.Fuzz()
