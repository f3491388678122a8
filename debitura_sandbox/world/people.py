"""Names, addresses and e-mail addresses, derived from a number, so that nothing personal needs to be stored.

A debtor's name is a head and a tail from two tables, so a million names need no million strings.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import NamedTuple

import numpy as np

from debitura_sandbox.world.addresses import BRANDS, COUNTRIES, TRADES
from debitura_sandbox.world.codes import Ints
from debitura_sandbox.world.columns import mix, uuids

INITIALS = ("", *(f" {letter}." for letter in "ABCDEFGHJK"))
STREETS = ("Kastanievej", "Bahnhofstraße", "Rue de l'Église", "Ulica Świerkowa", "Calle del Peñón", "Via Sant'Ambrogio")
SIGNING_HOST = "https://onboarding.sandbox.example"


class User(NamedTuple):
    """A person at a client."""

    id: int
    email: str
    first: str
    last: str

    @property
    def name(self) -> str:
        """First and last name."""
        return f"{self.first} {self.last}"


class Kyc(NamedTuple):
    """What a client's director stated."""

    name: str
    address: str
    born: str


@cache
def debtor_tables() -> tuple[tuple[str, ...], tuple[str, ...], Ints]:
    """Heads, tails, and per country where its (person head, company head, person tail, company tail) begin and end."""
    heads: list[str] = []
    tails: list[str] = []
    bounds = np.zeros((len(COUNTRIES), 8), dtype=np.int64)
    for index, country in enumerate(COUNTRIES):
        for place, (table, words) in enumerate(
            (
                (heads, [first + initial for first in country.first for initial in INITIALS]),
                (heads, [f"{last} {trade}" for last in country.last for trade in TRADES]),
                (tails, [f" {last}" for last in country.last]),
                (tails, [f" {town} {form}" for town in country.towns for form in country.forms]),
            )
        ):
            bounds[index, 2 * place : 2 * place + 2] = len(table), len(table) + len(words)
            table.extend(words)
    return tuple(heads), tuple(tails), bounds


def pick_debtors(rng: np.random.Generator, countries: Ints) -> tuple[Ints, Ints]:
    """Head and tail number of a debtor for each country given; two in five are persons; a few have no name (-1)."""
    bounds = debtor_tables()[2][countries]
    is_person = rng.random(len(countries)) < 0.4
    low, high = (np.where(is_person, bounds[:, n], bounds[:, n + 2]) for n in (0, 1))
    heads = low + (rng.random(len(countries)) * (high - low)).astype(np.int64)
    low, high = (np.where(is_person, bounds[:, n], bounds[:, n + 2]) for n in (4, 5))
    tails = low + (rng.random(len(countries)) * (high - low)).astype(np.int64)
    nameless = rng.random(len(countries)) < 0.004
    return np.where(nameless, -1, heads), np.where(nameless, -1, tails)


def debtor_name(head: int, tail: int) -> str | None:
    """The name that a head and a tail make."""
    heads, tails, _ = debtor_tables()
    return None if head < 0 else heads[head] + tails[tail]


def some_debtor(rng: np.random.Generator, country: int, is_person: bool) -> tuple[int, int]:
    """Head and tail number of an invented debtor of this kind."""
    bounds, shift = debtor_tables()[2][country], 0 if is_person else 2
    head, tail = (int(rng.integers(bounds[n + shift], bounds[n + shift + 1])) for n in (0, 4))
    return head, tail


def find_debtor(country: int, is_person: bool, name: str) -> tuple[int, int] | None:
    """Head and tail number of an invented debtor by name; None for a name that is not one of them."""
    heads, tails, bounds = debtor_tables()
    head_low, head_high, tail_low, tail_high = (int(bounds[country, n + (0 if is_person else 2)]) for n in (0, 1, 4, 5))
    for head in range(head_low, head_high):
        if name.startswith(heads[head]):
            for tail in range(tail_low, tail_high):
                if name == heads[head] + tails[tail]:
                    return head, tail
    return None


def is_person(country: int, head: int) -> bool:
    """Whether a head number of this country is that of a person."""
    low, high = debtor_tables()[2][country][:2]
    return bool(low <= head < high)


def _draws(number: int, salt: int, count: int) -> list[int]:
    return [int(value >> np.uint64(8)) for value in mix(np.arange(count) + number * 64, salt)]


@cache
def company_name(number: int, country: int) -> str:
    """A client's name; the number in it keeps names apart once the brands are used up."""
    forms = COUNTRIES[country].forms
    suffix = "" if number < len(BRANDS) else f" {number // len(BRANDS) + 1}"
    return f"{BRANDS[number % len(BRANDS)]}{suffix} {forms[_draws(number, 11, 1)[0] % len(forms)]}"


@cache
def mail_domain(number: int) -> str:
    """Domain of a client's addresses, in a top-level domain that cannot exist."""
    return f"{_plain(BRANDS[number % len(BRANDS)])}-{number}.example"


@cache
def people(number: int, country: int) -> tuple[User, ...]:
    """One to three users of a client; the first went through onboarding."""
    draws = _draws(number, 12, 16)
    place = COUNTRIES[country]
    users = []
    for nth in range(1 + draws[0] % 3):
        first = place.first[draws[3 * nth + 1] % len(place.first)]
        last = place.last[draws[3 * nth + 2] % len(place.last)]
        email = f"{_plain(first)}.{_plain(last)}{nth}@{mail_domain(number)}"
        users.append(User(10_000 + number * 8 + nth, email, first, last))
    return tuple(users)


@cache
def street_address(number: int) -> str:
    """A postal address."""
    draws = _draws(number, 13, 2)
    return f"{STREETS[draws[0] % len(STREETS)]} {draws[1] % 400 + 1}, {number % 9 + 1}. tv."


@cache
def director(number: int, country: int) -> Kyc:
    """What the client's director stated for KYC."""
    draws = _draws(number, 14, 5)
    place = COUNTRIES[country]
    name = f"{place.first[draws[0] % len(place.first)]} {place.last[draws[1] % len(place.last)]}"
    return Kyc(
        name, street_address(number + 5000), f"{1950 + draws[2] % 35}-{draws[3] % 12 + 1:02}-{draws[4] % 28 + 1:02}"
    )


def _plain(text: str) -> str:
    """Letters and digits of `text` in ASCII, for an e-mail address."""
    letters = unicodedata.normalize(
        "NFKD", text.lower().replace("ø", "o").replace("æ", "ae").replace("ß", "ss").replace("ł", "l")
    )
    plain = "".join(letter for letter in letters if letter.isascii() and letter.isalnum())
    return plain or "post"


def link_id(salt: int, number: int) -> str:
    """The id in an onboarding link."""
    return str(uuids(np.array([number]), salt)[0].decode())
