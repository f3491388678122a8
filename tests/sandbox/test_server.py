"""The sandbox as a server: it starts, answers, moves and stops."""

from __future__ import annotations


def test_sandbox_serves_its_world_over_http_and_moves_forward(sandbox_factory):
    sandbox = sandbox_factory()
    page = sandbox.get("/cases", [("PageSize", 100), ("Page", 2), ("Sort", "DateCreated:asc")])
    assert page["page"] == {
        "totalResults": 120,
        "pageSize": 100,
        "currentPage": 2,
        "responseCount": 20,
        "totalPages": 2,
    }
    assert len(page["cases"]) == 20
    before = {row["id"]: row for row in sandbox.truth("cases")}
    assert sandbox.admin("advance", {"days": 3})["day"] == 3
    after = {row["id"]: row for row in sandbox.truth("cases")}
    assert after.keys() - before.keys()
    assert any(before[id_] != after[id_] for id_ in before.keys() & after.keys())


def test_wrong_and_missing_keys_are_refused(shared_sandbox):
    assert shared_sandbox.send("GET", "/me", headers={"XApiKey": "wrong"})[0] == 401
    assert shared_sandbox.send("GET", "/sandbox/health", headers={"XApiKey": ""})[0] == 401
