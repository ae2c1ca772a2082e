"""Invented people and things, for samples. Nobody is real: example.com, and numbers of fiction."""

from __future__ import annotations

from random import Random

GIVEN = ("Ada", "Björn", "Chloé", "Dmitri", "Ella", "Farid", "Grace", "Hiro", "Inés", "Jomo")
FAMILY = ("Abbott", "Brown", "Castillo", "Dvořák", "Evans", "Fischer", "Garcia", "Hughes", "Ito")
WORDS = (
    "roof", "kitchen", "window", "estimate", "follow up", "called back", "north side",
    "second visit", "left a message", "prefers e-mail", "garage door", "new customer",
)  # fmt: skip


def some_words(random: Random) -> str:
    """Return one to three remarks such as a salesperson writes."""
    return ", ".join(random.sample(WORDS, random.randint(1, 3)))


def some_name(random: Random) -> tuple[str, str]:
    """Return a given name and a family name."""
    return random.choice(GIVEN), random.choice(FAMILY)
