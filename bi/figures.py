"""Headline figures as cards. Each has a button that shows the rows behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import streamlit as st

from bi.behind import Kind, rows_behind
from bi.filters import Condition
from bi.view import View
from debitura_pipeline.formats import format_amount

PER_ROW = {1: 1, 2: 2, 4: 4}  # how many stand side by side; three of any other number


@dataclass(frozen=True)
class Card:
    """One figure. `unit`: `USD`, another currency, or empty for a count."""

    key: str
    label: str
    value: Decimal | int
    meaning: str
    kind: Kind
    where: Condition
    unit: str = "USD"

    @property
    def text(self) -> str:
        """The figure as shown."""
        return (
            f"{format_amount(self.value)} {self.unit}"
            if isinstance(self.value, Decimal)
            else f"{self.value:,} {self.unit}".strip()
        )


def show_cards(view: View, page: str, cards: Sequence[Card]) -> None:
    """The figures side by side, and below them the rows behind the one that was asked for."""
    chosen_key = f"chosen-{page}"
    per_row = PER_ROW.get(len(cards), 3)
    for start in range(0, len(cards), per_row):
        for place, card in zip(st.columns(per_row), cards[start : start + per_row], strict=False):
            with place, st.container(border=True, height="stretch"):
                st.metric(card.label, card.text)
                st.caption(card.meaning)
                if st.button(f"Rows of {card.label}", key=f"rows-{page}-{card.key}"):
                    is_shown = st.session_state.get(chosen_key) == card.key
                    st.session_state[chosen_key] = None if is_shown else card.key
    chosen = next((card for card in cards if card.key == st.session_state.get(chosen_key)), None)
    if chosen is not None:
        rows_behind(view, f"{page}-{chosen.key}", chosen.label, chosen.kind, chosen.where)
