"""`livetower watch`: how it is asked for, and the loop that shows views."""

import json
import threading

import pytest
from click.testing import CliRunner
from test_watch_lines import EMPTY, VIEW

from livetower.cli import main
from livetower.watch import run as run_module
from livetower.watch.errors import WatchError
from livetower.watch.run import show_until_stopped
from livetower.watch.screen import JsonLines, Lines, choose_renderer


class Fake:
    """A watch of nothing, whose reading ends at once when `seconds` are over."""

    made: list["Fake"]

    def __init__(self, settings, user_id, history) -> None:
        self.settings, self.user_id, self.history = settings, user_id, history
        Fake.made.append(self)

    def read(self, stop: threading.Event) -> None:
        stop.wait(60)

    def view(self):
        return VIEW


@pytest.fixture
def fake(monkeypatch):
    Fake.made = []
    monkeypatch.setattr(run_module, "Watch", Fake)
    return Fake


def run(*arguments: str):
    return CliRunner().invoke(main, ["watch", *arguments])


def test_help_has_examples():
    done = run("--help")
    assert done.exit_code == 0
    assert "\n    livetower watch --for 60 --json > watched.jsonl\n" in done.output


def test_options_reach_the_watch_and_json_is_one_object_a_line(fake):
    done = run(
        "--bootstrap-servers", "k:1", "--set", "topics.items=films", "--user", "ann", "--history", "5", "--json",
        "--for", "0.01",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    (watched,) = fake.made
    assert (watched.settings.kafka.bootstrap_servers, watched.settings.topics.items) == ("k:1", "films")
    assert (watched.user_id, watched.history) == ("ann", 5)
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["lag"] == 1_204


def test_a_settings_file_names_the_brokers_and_an_option_wins(fake, tmp_path):
    file = tmp_path / "job.toml"
    file.write_text('[kafka]\nbootstrap_servers = "k:2"\n[job]\nsnapshot_root = "s3://b"\n[topics]\nrejected = "no"\n')
    assert run("--settings", str(file), "--for", "0.01").exit_code == 0
    assert run("--settings", str(file), "--for", "0.01", "--bootstrap-servers", "k:3").exit_code == 0
    assert [each.settings.kafka.bootstrap_servers for each in fake.made] == ["k:2", "k:3"]
    assert fake.made[0].settings.topics.rejected == "no"


def test_without_a_terminal_it_shows_lines(fake):
    done = run("--bootstrap-servers", "k:1", "--for", "0.01")
    assert done.stdout.startswith("  15 s  500/s     499 events/s")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--run-dir", "no-sandbox"), "no sandbox was started in"),
        (("--bootstrap-servers", "k:1", "--set", "topics.item=x"), "setting topics.item: no such setting"),
        (("--settings", "nowhere.toml"), "settings file nowhere.toml: needed a readable TOML file"),
    ],
)
def test_what_the_person_can_cure_is_one_line_and_exit_code_2(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(*arguments)
    assert done.exit_code == 2
    assert message in done.output
    assert "Traceback" not in done.output
    assert len(done.output.splitlines()) == 1


# ---- the loop ------------------------------------------------------------------------------------


def test_the_last_view_is_shown_when_reading_is_stopped():
    said: list[str] = []
    stop = threading.Event()
    stop.set()
    show_until_stopped(lambda stop: None, lambda: EMPTY, Lines(said.append), stop)
    assert len(said) == 1


def test_an_error_of_the_reader_ends_the_loop_and_nothing_is_shown_of_it():
    said: list[str] = []

    def fail(stop: threading.Event) -> None:
        raise WatchError("gone")

    with pytest.raises(WatchError, match="gone"):
        show_until_stopped(fail, lambda: EMPTY, JsonLines(said.append), threading.Event())
    assert said == []


def test_an_interrupt_stops_the_reader():
    stop, stopped = threading.Event(), []

    def read(stop: threading.Event) -> None:
        stopped.append(stop.wait(60))

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        show_until_stopped(read, interrupt, Lines(lambda line: None), stop, seconds=0.01)
    assert stopped == [True]


def test_where_standard_output_is_no_terminal_lines_are_chosen():
    assert isinstance(choose_renderer(print), Lines)
