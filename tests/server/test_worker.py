"""The queue and its thread, with work that waits to be let go."""

import asyncio
import threading

import pytest

from bertsmith.errors import InputError
from bertsmith.explain.passes import next_pass
from bertsmith.server.refusals import ClientGoneError, DeadlineError, OverloadedError
from bertsmith.server.worker import ROUND_TOKENS, Group, Worker

GROUP, OTHER = Group("model", "embed"), Group("model", "classify")


async def never():
    await asyncio.Event().wait()


class Bench:
    """A worker whose rounds wait for `go`; what it was given is in `rounds`."""

    def __init__(self, **options):
        self.rounds, self.go, self.failures = [], threading.Event(), []
        settings = {"queue": 4, "timeout_s": 5.0, "wait_s": 0.0, "failed": self.failures.append, **options}
        self.worker = Worker(self._run, **settings)

    def _run(self, group, items):
        self.go.wait(5)
        self.rounds.append((group, list(items)))
        for item in items:
            if isinstance(item, Exception):
                raise item
        return [f"{item}!" for item in items]

    def ask(self, items, group=GROUP, cost=10, gone=never):
        return asyncio.ensure_future(self.worker.ask(group, items, [cost] * len(items), gone))

    def run(self, doing):
        async def all_of_it():
            self.worker.start()
            try:
                return await doing()
            finally:
                self.go.set()
                await self.worker.stop()

        return asyncio.run(all_of_it())


async def until(condition):
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it never came to that")


def test_what_waits_is_computed_together_by_group_and_answers_go_home():
    bench = Bench(queue=9)

    async def doing():
        first = bench.ask(["a"])
        await asyncio.sleep(0.05)
        later = [bench.ask([*word], OTHER if word == "d" else GROUP) for word in ("bc", "d", "e")]
        await asyncio.sleep(0)
        bench.go.set()
        return await asyncio.gather(first, *later)

    assert bench.run(doing) == [["a!"], ["b!", "c!"], ["d!"], ["e!"]]
    assert [sorted(items) for _, items in bench.rounds] == [["a"], ["b", "c", "e"], ["d"]]


def test_one_of_many_texts_does_not_hold_up_one_of_a_single_text():
    bench = Bench()
    half = ROUND_TOKENS[0] // 2

    async def doing():
        large = bench.ask(list("abcdefgh"), cost=half)
        await asyncio.sleep(0.05)
        small = bench.ask(["x"], cost=half)
        await asyncio.sleep(0)
        bench.go.set()
        await asyncio.gather(large, small)

    bench.run(doing)
    first, second, *_ = [items for _, items in bench.rounds]
    assert (first, second[:2]) == (["a", "b"], ["c", "x"])


def test_beyond_the_queue_all_are_refused_at_once():
    bench = Bench(queue=2)

    async def doing():
        taken = [bench.ask(["a"]), bench.ask(["b"])]
        await asyncio.sleep(0)
        refused = await asyncio.gather(*(bench.ask(["c"]) for _ in range(5)), return_exceptions=True)
        bench.go.set()
        return await asyncio.gather(*taken), refused, await bench.ask(["later"])

    taken, refused, later = bench.run(doing)
    assert (taken, later) == ([["a!"], ["b!"]], ["later!"])
    assert all(isinstance(each, OverloadedError) and int(each.headers["Retry-After"]) >= 1 for each in refused)


def test_what_would_wait_in_vain_is_refused():
    bench = Bench(queue=100, timeout_s=0.6)
    bench.go.set()

    async def doing():
        slow = threading.Event()
        bench.go = slow
        threading.Timer(0.2, slow.set).start()
        await bench.ask(["a"], cost=20)  # about 100 tokens a second
        bench.go = threading.Event()
        taken = bench.ask(["b"], cost=1000)
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError, match="1 requests wait already"):
            await bench.ask(["c"], cost=10)
        bench.go.set()
        assert await taken == ["b!"]

    bench.run(doing)


@pytest.mark.parametrize(("timeout_s", "leaves", "error"), [(0.1, False, DeadlineError), (5.0, True, ClientGoneError)])
def test_nobody_s_work_is_dropped(timeout_s, leaves, error):
    bench = Bench(timeout_s=timeout_s)

    async def leave():
        await (asyncio.sleep(0.1) if leaves else never())

    async def doing():
        first = bench.ask(["first"])
        await asyncio.sleep(0.02)
        dropped = bench.ask(["dropped"], gone=leave)
        for each in (dropped, *([] if leaves else [first])):
            with pytest.raises(error):
                await each
        assert bench.worker.waiting == (1 if leaves else 0)
        bench.go.set()
        last = bench.ask(["last"])
        return await last

    assert bench.run(doing) == ["last!"]
    assert "dropped" not in [item for _, items in bench.rounds for item in items]


@pytest.mark.parametrize(("timeout_s", "leaves", "error"), [(0.1, False, DeadlineError), (5.0, True, ClientGoneError)])
def test_nobody_s_work_is_ended_between_its_passes(timeout_s, leaves, error):
    bench, passes, ended = Bench(timeout_s=timeout_s, together=False), threading.Event(), []
    bench.go.set()

    def endless(group, items):
        if items != ["endless"]:
            return items
        try:
            while True:
                next_pass()
                passes.set()
        except ClientGoneError:
            ended.append(items)
            raise

    bench.worker._run = endless

    async def leave():
        await (until(passes.is_set) if leaves else never())

    async def doing():
        with pytest.raises(error):
            await bench.ask(["endless"], gone=leave)
        bench.worker._timeout_s = 5.0
        return await bench.ask(["next"])

    assert bench.run(doing) == ["next"]
    assert ended == [["endless"]]
    assert bench.failures == [], "that is no fault"
    assert passes.is_set()


def test_what_is_long_is_computed_one_by_one():
    bench = Bench(together=False)

    async def doing():
        asked = [bench.ask([*word]) for word in ("ab", "c")]
        await asyncio.sleep(0.05)
        bench.go.set()
        return await asyncio.gather(*asked)

    assert bench.run(doing) == [["a!", "b!"], ["c!"]]
    assert sorted(items for _, items in bench.rounds) == [["a"], ["b"], ["c"]]


def test_an_item_that_cannot_be_read_spoils_no_other_s_answer():
    bench = Bench()
    bad, broken = InputError("no mask"), ValueError("a bug")

    async def doing():
        first = bench.ask(["first"])
        await asyncio.sleep(0.05)
        asked = [bench.ask(items) for items in (["a", "b"], [bad], [broken])]
        await asyncio.sleep(0)
        bench.go.set()
        return await asyncio.gather(first, *asked)

    assert bench.run(doing) == [["first!"], ["a!", "b!"], [bad], [broken]]
    assert bench.failures == [broken]  # the other is the client's


def test_what_was_taken_is_answered_before_the_end():
    bench = Bench()

    async def doing():
        taken = [bench.ask(["a"]), bench.ask(["b"])]
        await asyncio.sleep(0.05)
        bench.worker.draining = True
        with pytest.raises(OverloadedError, match="about to end"):
            await bench.ask(["late"])
        threading.Timer(0.1, bench.go.set).start()
        await bench.worker.stop()
        return await asyncio.gather(*taken)

    assert bench.run(doing) == [["a!"], ["b!"]]
    assert not bench.worker.alive


def test_after_a_round_of_many_the_next_waits_for_as_many():
    bench = Bench(wait_s=0.5, queue=9)

    async def doing():
        first = [bench.ask(["a"])]
        await asyncio.sleep(0.05)
        first += [bench.ask(["b"]), bench.ask(["c"])]
        await asyncio.sleep(0)
        bench.go.set()
        await asyncio.gather(*first)
        again = bench.ask(["d"])
        await asyncio.sleep(0.05)
        return await asyncio.gather(again, bench.ask(["e"]))

    bench.run(doing)
    assert [items for _, items in bench.rounds] == [["a"], ["b", "c"], ["d", "e"]]
