"""The judge of histories itself: what it lets pass, and what it does not."""

from __future__ import annotations

import itertools
import threading
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.histories import (
    Call,
    Kind,
    Lost,
    Recorder,
    Refused,
    Undecided,
    Value,
    find_violation,
)

A, B = "sha256:a", "sha256:b"
FOUND, MISSED = True, False


def put(digest: str, invoked: int, returned: int | None, tag: str = "t") -> Call:
    return Call(Kind.PUT, tag, digest, invoked, returned)


def get(digest: str | None, invoked: int, returned: int, tag: str = "t") -> Call:
    return Call(Kind.GET, tag, digest, invoked, returned)


def delete(found: Value, invoked: int, returned: int | None, tag: str = "t") -> Call:
    return Call(Kind.DELETE, tag, found, invoked, returned)


def tags(names: str, invoked: int, returned: int) -> Call:
    return Call(Kind.LIST, "", frozenset(names.split()), invoked, returned)


GOOD = {
    "nothing": [],
    "one-after-the-other": [put(A, 0, 1), get(A, 2, 3), delete(FOUND, 4, 5), get(None, 6, 7)],
    "read-during-write-sees-new": [put(A, 0, 9), get(A, 1, 2), get(A, 3, 4)],
    "read-during-write-sees-old": [put(A, 0, 1), put(B, 2, 9), get(A, 3, 4), get(B, 5, 6)],
    "writes-in-either-order": [put(A, 0, 9), put(B, 0, 9), get(A, 10, 11)],
    "writes-in-the-other-order": [put(A, 0, 9), put(B, 0, 9), get(B, 10, 11)],
    "both-seen": [put(A, 0, 9), put(B, 0, 9), get(B, 1, 2), get(A, 3, 4), get(A, 10, 11)],
    "lost-put-that-happened": [put(A, 0, None), get(A, 1, 2)],
    "lost-put-that-did-not": [put(A, 0, None), get(None, 1, 2), get(None, 3, 4)],
    "lost-put-that-happened-late": [put(A, 0, None), put(B, 1, 2), get(B, 3, 4), get(A, 5, 6)],
    "lost-delete-that-happened": [put(A, 0, 1), delete(None, 2, None), get(None, 3, 4)],
    "lost-put-that-a-delete-tells-of": [put(A, 0, None), delete(FOUND, 1, 2), get(None, 3, 4)],
    "two-deletes-one-finds": [put(A, 0, 1), delete(FOUND, 2, 9), delete(MISSED, 2, 9)],
    "lists": [put(A, 0, 1), put(B, 2, 9, "u"), tags("t", 3, 4), tags("t u", 5, 6)],
    "list-tells-of-two-lost": [put(A, 0, None), put(B, 0, None, "u"), tags("t u", 1, 2)],
    "same-moment-counts-as-during": [put(A, 0, 1), get(None, 1, 2)],
}
BAD = {
    "stale-read": [put(A, 0, 1), put(B, 2, 3), get(A, 4, 5)],
    "lost-write": [put(A, 0, 1), get(None, 2, 3)],
    "out-of-nowhere": [get(A, 0, 1)],
    "from-the-future": [get(A, 0, 1), put(A, 2, 3)],
    "back-and-forth": [put(A, 0, 1), put(B, 2, 9), get(B, 3, 4), get(A, 5, 6)],
    "readers-disagree": [
        *(put(A, 0, 9), put(B, 0, 9)),
        *(get(A, 10, 11), get(B, 12, 13)),
    ],
    "deleted-twice": [put(A, 0, 1), delete(FOUND, 2, 9), delete(FOUND, 2, 9)],
    "risen": [put(A, 0, 1), delete(FOUND, 2, 3), get(A, 4, 5)],
    "lost-put-happened-twice": [
        *(put(A, 0, None), get(A, 1, 2), put(B, 3, 4), get(B, 5, 6), get(A, 7, 8)),
    ],
    "lost-put-came-and-went": [put(A, 0, None), get(A, 1, 2), get(None, 3, 4)],
    "lost-put-of-later": [get(A, 0, 1), put(A, 2, None)],
    "list-forgets": [put(A, 0, 1), tags("", 2, 3)],
    "list-invents": [tags("t", 0, 1)],
    # Each tag alone is right: the lists are not, for one of them saw `u` before `t`.
    "lists-disagree": [
        *(put(A, 0, 9), put(B, 0, 9, "u")),
        *(tags("t", 1, 8), tags("u", 1, 8)),
    ],
}


@pytest.mark.parametrize("history", GOOD.values(), ids=GOOD)
def test_linearizable_history_is_let_pass(history: list[Call]) -> None:
    assert find_violation(reversed(history)) == ""


@pytest.mark.parametrize("history", BAD.values(), ids=BAD)
def test_history_that_is_not_linearizable_is_found(history: list[Call]) -> None:
    assert find_violation(reversed(history))


def test_tags_that_were_set_at_first_are_known() -> None:
    assert find_violation([get(A, 0, 1), tags("t u", 2, 3)], {"t": A, "u": B}) == ""
    assert find_violation([get(None, 0, 1)], {"t": A})
    assert find_violation([tags("t", 0, 1)], {"t": A, "u": B})


def test_what_is_found_names_the_tag_and_the_calls() -> None:
    found = find_violation([*GOOD["both-seen"], get(B, 12, 13), put(A, 0, 1, "u")])

    assert found.splitlines() == [
        "tag t: after 5 calls in order there is {'t': 'sha256:a'};",
        "of these calls none can be next:",
        "  0.000000-0.000000 : get t sha256:b",
    ]


def test_search_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.histories._MOST_CONFIGURATIONS", 100)
    writes = [put(str(number), 0, 9) for number in range(12)]

    with pytest.raises(Undecided):
        find_violation([*writes, get("none", 10, 11)])


def test_long_history_is_judged_soon() -> None:
    """Eight writers at a time, 4,000 writes, each read; a tenth of the answers lost."""
    calls = []
    for start in range(0, 4000, 8):
        for number in range(start, start + 8):
            returned = None if number % 10 == 3 else 100 * start + 50
            calls.append(put(str(number), 100 * start, returned))
            if returned:
                calls.append(get(str(number), 100 * start + 10, 100 * start + 50))

    assert find_violation(calls) == ""


@st.composite
def small_histories(draw: st.DrawFn) -> list[Call]:
    """Any few calls; most are not linearizable."""
    calls = []
    for _ in range(draw(st.integers(1, 5))):
        kind, tag = draw(st.sampled_from(Kind)), draw(st.sampled_from(["t", "u"]))
        value: Value = draw(
            {
                Kind.PUT: st.sampled_from([A, B]),
                Kind.GET: st.sampled_from([A, B, None]),
                Kind.DELETE: st.booleans(),
                Kind.LIST: st.sampled_from([frozenset(names) for names in ("", "t", "u", "tu")]),
            }[kind]
        )
        invoked = draw(st.integers(0, 8))
        returned = draw(st.one_of(st.none(), st.integers(invoked, invoked + 8)))
        calls.append(Call(kind, "" if kind is Kind.LIST else tag, value, invoked, returned))
    return calls


def can_be_ordered(calls: list[Call]) -> bool:
    """Try every order of every choice of lost calls."""
    lost = [call for call in calls if call.returned is None]
    sure = [call for call in calls if call.returned is not None]
    return any(
        is_in_time(order) and are_answers_right(order)
        for count in range(len(lost) + 1)
        for chosen in itertools.combinations(lost, count)
        for order in itertools.permutations([*sure, *chosen])
    )


def is_in_time(order: tuple[Call, ...]) -> bool:
    return not any(
        later.returned is not None and later.returned < earlier.invoked
        for earlier, later in itertools.combinations(order, 2)
    )


def are_answers_right(order: tuple[Call, ...]) -> bool:
    there: dict[str, Value] = {}
    for call in order:
        found: Value = there.get(call.tag)
        if call.kind is Kind.PUT:
            found = there[call.tag] = call.value
        elif call.kind is Kind.DELETE:
            found = there.pop(call.tag, None) is not None
        elif call.kind is Kind.LIST:
            found = frozenset(there)
        if call.returned is not None and found != call.value:
            return False
    return True


@given(small_histories())
def test_judge_agrees_with_trying_all_orders(history: list[Call]) -> None:
    assert (find_violation(history) == "") == can_be_ordered(history)


@given(st.data())
def test_history_of_a_real_register_is_let_pass(data: st.DataObject) -> None:
    """Calls that happened one after the other, each known to begin before and to end after."""
    there: dict[str, str] = {}
    calls = []
    for moment in range(0, 10 * data.draw(st.integers(1, 25)), 10):
        kind, tag = data.draw(st.sampled_from(Kind)), data.draw(st.sampled_from(["t", "u"]))
        value: Value = there.get(tag)
        if kind is Kind.PUT:
            value = there[tag] = data.draw(st.sampled_from([A, B]))
        elif kind is Kind.DELETE:
            value = there.pop(tag, None) is not None
        elif kind is Kind.LIST:
            tag, value = "", frozenset(there)
        invoked = moment - data.draw(st.integers(0, 60))
        returned = moment + data.draw(st.integers(0, 60))
        call = Call(kind, tag, value, invoked, returned)
        calls.append(replace(call, returned=None) if data.draw(st.booleans()) else call)

    assert find_violation(calls) == ""


def test_recorder_writes_down_answers_and_what_got_lost() -> None:
    recorder = Recorder()

    def lose() -> Value:
        raise Lost

    def refuse() -> Value:
        raise Refused

    recorder.record("one", Kind.PUT, lambda: None, tag="t", digest=A)
    recorder.record("one", Kind.PUT, lambda: A, tag="t", digest=A)
    recorder.record("one", Kind.GET, lambda: None, tag="u")
    with pytest.raises(Lost):
        recorder.record("one", Kind.DELETE, lose, tag="t")
    with pytest.raises(Refused):
        recorder.record("one", Kind.PUT, refuse, tag="t", digest=B)

    assert [(call.kind, call.value, call.returned is None) for call in recorder.calls] == [
        (Kind.PUT, A, False),
        (Kind.GET, A, False),
        (Kind.GET, None, False),
        (Kind.DELETE, None, True),
    ]
    moments = [moment for call in recorder.calls for moment in (call.invoked, call.returned or 0)]
    assert moments[:6] == sorted(moments[:6])


def test_recorder_takes_the_calls_of_many_threads() -> None:
    recorder, gate = Recorder(), threading.Barrier(4)

    def work() -> None:
        gate.wait()
        for _ in range(50):
            recorder.record("one", Kind.GET, lambda: None, tag="t")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(recorder.calls) == 200
    assert find_violation(recorder.calls) == ""
