"""A file of one's own through the running job: replay → job → lists, and a doctor that finds a sound sandbox sound."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from running_job import RunningJob, wait_for

from livetower.cli import main
from livetower.sandbox import Sandbox

pytestmark = pytest.mark.flink


def livetower(*arguments: object) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


def doctor(sandbox: Sandbox) -> tuple[int, list[str]]:
    """The doctor's exit code and the codes it found."""
    result = livetower("doctor", "--run-dir", sandbox.run_dir, "--json")
    return result.exit_code, [finding["code"] for finding in json.loads(result.stdout)["findings"]]


def test_a_file_of_ones_own_becomes_lists_and_its_malformed_rows_are_rejected(sandbox: Sandbox, tmp_path: Path) -> None:
    exit_code, codes = doctor(sandbox)
    assert (exit_code, set(codes) - {"LT-DOC-214"}) == (0, set())  # slots of a job that is just going
    films = tmp_path / "films.csv"
    films.write_text("id,name,genres\n" + "".join(f"f{n},Film {n},{'sea' if n % 2 else 'hill'}\n" for n in range(30)))
    plays = tmp_path / "plays.csv"
    rows = [f"u{n % 4},f{(3 * n) % 30},{1_700_000_000 + n}\n" for n in range(40)]
    plays.write_text("who,what,at\n" + "".join(rows))
    names = ["--column", "user_id=who", "--column", "item_id=what", "--column", "event_time_ms=at", "--time-unit", "s"]

    with RunningJob(sandbox, tmp_path / "snapshots") as job:
        assert doctor(sandbox) in [(0, ["LT-DOC-214"]), (0, [])]  # of three slots the job holds two
        place = ["--run-dir", sandbox.run_dir, "--json"]
        catalogue = livetower(
            "items", films, "--column", "item_id=id", "--column", "title=name", "--column", "tags=genres",
            "--topic", job.topics["items"], *place,
        )  # fmt: skip
        assert json.loads(catalogue.stdout)["acknowledged"] == 30, catalogue.output
        job.wait_for_first_list()

        send = ["replay", plays, "--topic", job.topics["interactions"], *names, *place]
        first = livetower(*send)
        assert json.loads(first.stdout)["acknowledged"] == 40, first.output
        with plays.open("a") as lines:
            lines.write("u0,f1,soon\nu0,f3,1700000041\n")
        again = livetower(*send, "--malformed", "send")
        assert json.loads(again.stdout)["acknowledged"] == 2, again.output

        ids = {f"plays.csv-{line}" for line in [*range(2, 42), 43]}
        wait_for("a list for every row", lambda: ids <= {each["trigger"] for each in job.lists()})
        (rejected,) = job.topic("rejected").wait_until("the malformed row", bool)
        assert dict(rejected.headers())["reason"] == b"invalid_field"
        assert json.loads(rejected.value())["event_id"] == "plays.csv-42"
        counted = {each["trigger"]: each["user_seq"] for each in job.lists() if each["user_id"] == "u0"}
        assert counted["plays.csv-43"] == 11  # ten of the first forty rows, and this one

        livetower(*send, "--restart", "--malformed", "skip")
        job.request("after", "u0")
        job.flush()
        wait_for("the list after", lambda: any(each["trigger"] == "after" for each in job.lists()))
        (last,) = [each["user_seq"] for each in job.lists() if each["trigger"] == "after"]
        assert last == 12  # all of the repeated ids were among the user's last 32
