"""The search: cases from a seed, many to a child process, and the one that does harm singled out."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from tests.fuzz.decoders import Decoder, decoders, yjs_updates
from tests.fuzz.grammar import sequence
from tests.fuzz.harm import check
from tests.fuzz.mutation import mutant
from tests.fuzz.trial import outcome
from tests.poison.recipes import read

BATCH = 150
LARGEST_SEED = 400

Case = tuple[bytes, ...]


@dataclass(frozen=True)
class Finding:
    """A case that did harm, and what it did."""

    what: str
    case: Case
    outcome: str

    def __str__(self) -> str:
        shown = "\n".join(f"    {each.hex()}" for each in self.case)
        return f"{self.what}:\n{shown}\n{self.outcome}"


def decoder_cases(decoder: Decoder, random: Random) -> Case:
    """One frame for a decoder."""
    if random.random() < 0.1:
        return (random.randbytes(random.randint(0, 40)),)
    return (mutant(random, decoder.seeds),)


class Updates:
    """Cases for documents: updates that are nearly right, captured ones changed a little, and the poisons together."""

    def __init__(self) -> None:
        self._honest, poison = read()
        self._poison = [data for _, data in poison.values() if len(data) <= LARGEST_SEED]
        self._seeds = [*yjs_updates(), *self._poison, self._honest]

    def case(self, random: Random) -> Case:
        """A few updates, to come one after the other."""
        kind = random.random()
        if kind < 0.55:
            made = sequence(random)
        elif kind < 0.85:
            made = [
                self._honest,
                *(mutant(random, self._seeds) for _ in range(random.randint(1, 3))),
            ]
        else:
            made = [self._honest, *random.sample(self._poison, random.randint(2, 5))]
        if random.random() < 0.3:
            made.append(mutant(random, made))
        random.shuffle(made) if random.random() < 0.1 else None
        return tuple(made)


def search(
    what: str,
    make: Callable[[Random], Case],
    judge: Callable[[Case], None],
    seed: int,
    seconds: float,
) -> tuple[int, list[Finding]]:
    """How many cases were tried within so many seconds, and those that did harm."""
    random, tried, findings = Random(seed), 0, []
    end = time.monotonic() + seconds
    while time.monotonic() < end and len(findings) < 10:
        cases = [make(random) for _ in range(BATCH)]
        tried += len(cases)
        findings += _harmful(what, cases, judge)
    return tried, findings


def _harmful(what: str, cases: Sequence[Case], judge: Callable[[Case], None]) -> Iterator[Finding]:
    """Those of a batch that do harm alone; the batch itself only when none does."""
    if not outcome(lambda: [judge(case) for case in cases], seconds=30):
        return
    for case in cases:
        said = outcome(lambda case=case: judge(case), seconds=10)
        if said:
            yield Finding(what, case, said)


def search_decoders(seed: int, seconds: float) -> tuple[int, list[Finding]]:
    """Search every decoder, for an equal part of the time."""
    tried, findings = 0, []
    everyone = decoders()
    for name, decoder in everyone.items():
        count, found = search(
            name,
            lambda random, decoder=decoder: decoder_cases(decoder, random),
            lambda case, decoder=decoder: decoder.check(case[0]),
            seed,
            seconds / len(everyone),
        )
        tried, findings = tried + count, findings + found
    return tried, findings


def search_updates(seed: int, seconds: float) -> tuple[int, list[Finding]]:
    """Search documents: what the reader and the room accept may do no harm to pycrdt."""
    return search("document", Updates().case, check, seed, seconds)


def name_of(data: bytes) -> str:
    """A corpus file's name."""
    return hashlib.sha256(data).hexdigest()[:16]
