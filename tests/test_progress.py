import io

import pytest
from rich.console import Console

from bertsmith import progress
from bertsmith.progress import Silent, Terminal, duration


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def plain() -> tuple[Terminal, io.StringIO]:
    out = io.StringIO()
    return Terminal(Console(file=out, force_terminal=False, width=80)), out


def test_off_a_terminal_a_line_comes_at_most_every_ten_seconds(clock):
    terminal, out = plain()
    with terminal.track("training", total=1000, unit="steps") as track:
        for step in range(0, 501, 5):  # one every 0.4 s
            track.update(step, f"loss {step}")
            clock[0] += 0.4
    lines = out.getvalue().splitlines()
    assert lines[0] == "training:  12%  125/1,000 steps  12 steps/s  70 s left  loss 125"
    assert len(lines) == 4  # in 40.4 s
    assert lines[-1].startswith("training:  50%  500/1,000 steps")


def test_the_rate_of_a_resumed_run_counts_from_where_it_began(clock):
    terminal, out = plain()
    with terminal.track("training", total=1000, unit="steps") as track:
        track.update(900)
        clock[0] += 10
        track.update(910)
    assert out.getvalue() == "training:  91%  910/1,000 steps  1 steps/s  90 s left\n"


def test_seconds_have_no_rate_and_long_lines_stay_whole(clock):
    terminal, out = plain()
    with terminal.track("training", total=7200, unit="s") as track:
        track.update(60, "x" * 100)
    terminal.say("word " * 40)
    lines = out.getvalue().splitlines()
    assert lines[0] == "training:  1%  60 s of 2 h 0 min  " + "x" * 100
    assert len(lines) == 2


def test_brackets_are_text_not_markup():
    terminal, out = plain()
    terminal.say("[MASK] [red]is[/red]")
    terminal.warn("[bold]careful")
    assert out.getvalue() == "[MASK] [red]is[/red]\nwarning: [bold]careful\n"


def test_on_a_terminal_the_bar_shows_share_amount_and_note():
    out = io.StringIO()
    terminal = Terminal(Console(file=out, force_terminal=True, width=200, color_system=None))
    with terminal.track("[reading]", total=200, unit="MB") as outer:
        with terminal.track("inside", total=None, unit="files") as inner:
            inner.update(3)
        outer.update(50, "note [x]")
        terminal.say("a remark")
    shown = out.getvalue()
    for part in ("[reading]", " 25%", "50/200 MB", "note [x]", "a remark", "inside"):
        assert part in shown


def test_the_bar_ends_with_the_error_that_ends_the_work():
    terminal = Terminal(Console(file=io.StringIO(), force_terminal=True))
    with pytest.raises(ValueError, match="broken"), terminal.track("work", total=1, unit="steps"):
        raise ValueError("broken")
    with terminal.track("again", total=1, unit="steps") as track:  # nothing of the first is in the way
        track.update(1)


def test_silent_prints_nothing(capfd):
    silent = Silent()
    silent.say("a")
    silent.warn("b")
    with silent.track("c", total=1, unit="steps") as track:
        track.update(1, "d")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (99, "99 s"), (100, "2 min"), (3600, "60 min"), (7500, "2 h 5 min"), (273600, "3 d 4 h")],
)
def test_durations_are_read_at_a_glance(seconds, text):
    assert duration(seconds) == text
