"""Names for new rooms: short, easy to read aloud, and not to be guessed by counting."""

from __future__ import annotations

import secrets

FIRST_WORDS = (
    "amber azure brass bright calm cedar clear coral copper crisp daring early eager fair "
    "fern gentle gold green happy hazel indigo ivory jade keen kind lemon light lilac lively "
    "lunar maple mellow merry mint misty noble olive opal pearl plain proud quick quiet rapid "
    "red river rosy ruby sage sandy sharp silver sky snowy solar still sunny swift teal tidy "
    "topaz velvet violet warm"
)
SECOND_WORDS = (
    "anchor apple badger beacon beaver birch bison bridge brook canoe castle cloud comet "
    "crane creek dolphin dune eagle ember engine falcon field finch forest fox garden glacier "
    "harbor hare hawk heron hill island kite lagoon lantern lark meadow moose orbit orchid "
    "otter owl panda pine planet pond prairie rabbit raven reef robin rocket sparrow spring "
    "summit swan thicket tiger valley walnut willow wren"
)
# Without letters and digits that look alike.
TAIL = "23456789abcdefghjkmnpqrstuvwxyz"


def new_room_name() -> str:
    """`amber-otter-k7xw2`: some four billion names."""
    tail = "".join(secrets.choice(TAIL) for _ in range(5))
    first, second = (secrets.choice(words.split()) for words in (FIRST_WORDS, SECOND_WORDS))
    return f"{first}-{second}-{tail}"
