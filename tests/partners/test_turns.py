"""A sensor of all partners stops when its time is over, and goes on there at the next tick."""

from debitura_pipeline.partners.turns import Turns, take_turns


def test_a_tick_stops_in_time_and_the_next_one_goes_on_there() -> None:
    at, visited = [0.0], []

    def visit(name: str, note: str) -> str:
        at[0] += 1.0
        visited.append(name)
        return f"{note}+"

    turns = Turns.of(None)
    for _ in range(2):
        turns = Turns.of(take_turns(["a", "b", "c"], turns, visit, within_s=2.0, clock=lambda: at[0]).as_text())
    assert visited == ["a", "b", "c", "a"]
    assert turns == Turns("b", {"a": "++", "b": "+", "c": "+"})


def test_one_partner_is_visited_however_late_it_is_and_those_that_are_gone_are_forgotten() -> None:
    found = take_turns(["b", "c"], Turns("a", {"a": "1"}), lambda name, _: name, within_s=0.0, clock=lambda: 1.0)
    assert found == Turns("c", {"b": "b"})
    assert Turns.of("another version's") == Turns()
