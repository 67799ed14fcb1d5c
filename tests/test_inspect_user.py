"""`livetower inspect user`: every value is the one that `advance` left behind."""

from dataclasses import replace

import numpy as np
import orjson
import pytest
from click.testing import CliRunner
from fake_learned_state import TOUCHED_MS
from inspected import FILE, TITLES, Lived, answer, event, examples, lived, refusal
from made_up import ITEMS, MODEL, NOW_MS, announcement, delta, popularity_update, snapshot

from livetower.cli import main
from livetower.inspect.user import user
from models.hashing import hash_id
from models.records import Clock, encode_recommendation
from models.snapshots import decode_snapshot, digest, table_of, updated, with_delta
from models.user_state import encode_user_state

DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    return Lived(tmp_path_factory.mktemp("snapshots"))


@pytest.fixture
def run(job, monkeypatch):
    return job.runner(monkeypatch)


def named(item_id: str) -> dict:
    """An item as the document shows it."""
    digits = f"{hash_id(item_id) % 2**64:016x}"
    return {"hash": digits, "item_id": item_id, "title": TITLES.get(item_id)}


def emitted(result, names=TITLES) -> list[dict]:
    """The items of the record that the job emits."""
    items = orjson.loads(encode_recommendation(result.recommendation, Clock(0, 0, 0, 0)))["items"]
    return [item | {"title": names.get(item["item_id"])} for item in items]


def test_every_field_of_the_state_is_told(run, job):
    found = answer(run("user", "ada", "--json", "--all", "--vector"))
    ada = job.ada
    numbers = ("user_since_ms", "user_seq", "positives", "newest_event_ms", "late", "no_table", "forgotten")
    numbers += ("rating_sum", "rating_count", "accumulator", "steps")
    assert {name: found[name] for name in numbers} == {name: getattr(ada, name) for name in numbers}
    assert found["rating_sum"] == 2 + 3
    assert (found["user_id"], found["checkpoint"]) == ("ada", job.state.uri)
    assert (found["blob_bytes"], found["blob_version"]) == (len(encode_user_state(ada)), 2)
    assert (found["touched_ms"], found["dies_ms"]) == (TOUCHED_MS, TOUCHED_MS + 180 * DAY_MS)
    assert (found["dimension"], found["finite"], found["activity_class"]) == (8, True, 4)
    assert (found["optimizer"], found["moments"]) == ("adagrad", None)
    assert np.array_equal(np.array(found["embedding"], np.float32), ada.embedding)
    assert found["norm"] == pytest.approx(sum(float(x) ** 2 for x in ada.embedding) ** 0.5, rel=1e-12)
    assert found["recent"] == [named(ITEMS[n]) | {"event_time_ms": NOW_MS + 60_000 * n} for n in range(7, -1, -1)]
    day = NOW_MS // DAY_MS
    times = {"day": day, "day_begins_ms": day * DAY_MS}
    assert found["consumed"] == [named(ITEMS[n]) | times for n in range(8)]
    assert found["event_ids"] == [f"{hash_id(f'ada-{n}') % 2**64:016x}" for n in range(8)]
    assert (found["consumed_count"], found["event_id_count"]) == (8, 8)
    assert found["last_list"] == [named(entry.item_id) for entry in job.results[-1].recommendation.items]


def test_without_options_the_long_lists_and_the_vector_are_left_out(run):
    found = answer(run("user", "ada", "--json"))
    assert not {"embedding", "consumed", "event_ids", "moment_means"} & found.keys()


def test_at_the_newest_event_the_list_is_the_one_that_the_job_made_then(run, job):
    now = answer(run("user", "ada", "--json", "--at", str(job.ada.newest_event_ms)))["list_now"]
    assert now["items"] == emitted(job.results[-1])
    assert now["snapshot"] == {"epoch": 0, "trained_events": 7, "created_ms": job.announcement.created_ms}
    assert (now["asked_ms"], now["strategy"]) == (job.ada.newest_event_ms, "hybrid")


def test_later_the_recent_items_have_faded_and_a_list_is_made_for_then(run, job):
    asking = event(10_000, None, event_type="request")
    later = lived([*job.events, asking], job.table)[-1]
    now = answer(run("user", "ada", "--json", "--at", str(asking.event_time_ms)))["list_now"]
    assert now["items"] == emitted(later)
    assert now["items"] != emitted(job.results[-1])


def test_a_setting_on_top_makes_another_list(run):
    now = answer(run("user", "ada", "--json", "--set", "model.top_k=3"))["list_now"]
    assert len(now["items"]) == 3


def test_a_state_of_adam_tells_its_moments(tmp_path, monkeypatch):
    model = replace(MODEL, optimizer="adam")
    job = Lived(tmp_path / "s", "model.optimizer=adam", model=model)
    found = answer(job.runner(monkeypatch)("user", "ada", "--json", "--vector"))
    means, squares = job.ada.moments[:8], job.ada.moments[8:]
    assert found["optimizer"] == "adam"
    assert np.array_equal(np.array(found["moment_means"], np.float32), means)
    assert np.array_equal(np.array(found["moment_squares"], np.float32), squares)
    assert found["moments"]["means_norm"] == pytest.approx(sum(float(x) ** 2 for x in means) ** 0.5)
    assert found["moments"]["squares_mean"] == pytest.approx(sum(map(float, squares)) / 8)


def test_key_group_and_subtask_are_told(run, job):
    found = answer(run("user", "bob", "--json"))
    group = job.state.key_group_of("bob")
    assert (found["key_group"], found["subtask"]) == (group, 0 if group < 64 else 1)


def test_for_people_the_same_is_text(run, job):
    result = run("user", "ada", "--at", str(job.ada.newest_event_ms))
    assert result.exit_code == 0, result.output
    text = " ".join(result.stdout.split())
    assert f"user ada: {len(encode_user_state(job.ada))} B, version 2" in text
    assert "ratings 2, 2.50 on average" in text
    assert "8 i0 Alien 2025-10-09 08:53:20 UTC" in text
    assert "6 i2 Brazil [b] 2025-10-09" in text
    first = job.results[-1].recommendation.items[0]
    assert f"1 {first.item_id} {first.taste:.3f} " in text
    assert f"{first.score:.3f}" in text


# ---- the snapshot -------------------------------------------------------------------------------


def test_deltas_and_the_popularity_update_of_the_state_are_applied(tmp_path, monkeypatch):
    job = Lived(tmp_path / "s")
    full, changed = job.blob, delta(8, 11, 2.0)
    newer = popularity_update(9, 12, 500.0)
    job.state.announce(
        announcement(changed, 8, kind="delta", base=full), announcement(newer, 9, kind="popularity", base=changed)
    )
    table = with_delta(job.table, decode_snapshot(changed), digest(changed), NOW_MS + 8)
    table = updated(table, decode_snapshot(newer), NOW_MS + 9)
    job.state.keep_user("ada", lived(job.events, table)[-1].state)
    expected = emitted(lived(job.events, table)[-1], TITLES | {"i11": "i11"})  # the delta brings a title
    now = answer(job.runner(monkeypatch)("user", "ada", "--json", "--at", str(job.ada.newest_event_ms)))["list_now"]
    assert now["snapshot"] == {"epoch": 0, "trained_events": 9, "created_ms": NOW_MS + 9}
    assert now["items"] == expected
    assert expected[0]["item_id"] == "i12"


def test_copies_beside_a_savepoint_come_before_the_snapshot_root(tmp_path, monkeypatch):
    job = Lived(tmp_path / "s")
    job.state.uri = str(tmp_path / "savepoint")
    (tmp_path / "savepoint" / "snapshots").mkdir(parents=True)
    (job.root / FILE).rename(tmp_path / "savepoint" / "snapshots" / FILE)
    assert answer(job.runner(monkeypatch)("user", "ada", "--json"))["list_now"]["items"]


def test_another_root_is_looked_into_when_it_is_named(tmp_path, monkeypatch):
    job = Lived(tmp_path / "s")
    job.root.rename(tmp_path / "moved")
    run = job.runner(monkeypatch)
    missing = answer(run("user", "ada", "--json"))
    assert missing["list_now"] is None
    assert missing["no_list_because"].startswith(f"LT-INS-405: the item snapshot {FILE} is at none of: ")
    assert not job.root.exists()  # looking for it made nothing
    found = answer(run("user", "ada", "--json", "--snapshot-root", str(tmp_path / "moved")))
    assert found["list_now"]["items"]
    assert found["no_list_because"] is None


def test_other_bytes_under_the_announced_name_are_not_ranked_with(tmp_path, monkeypatch):
    job = Lived(tmp_path / "s")
    (job.root / FILE).write_bytes(snapshot(trained_events=7, seed=8))
    assert "LT-INS-406" in answer(job.runner(monkeypatch)("user", "ada", "--json"))["no_list_because"]


def test_before_any_snapshot_there_is_no_list_and_that_is_said(tmp_path, monkeypatch):
    job = Lived(tmp_path / "s")
    job.state.announced.clear()
    found = answer(job.runner(monkeypatch)("user", "ada", "--json"))
    assert (found["list_now"], found["no_list_because"]) == (None, "no item snapshot had been announced")
    assert found["last_list"][0]["item_id"] == job.results[-1].recommendation.items[0].item_id  # by the catalogue


def test_a_pinned_job_ranks_with_its_pinned_file(tmp_path, monkeypatch):
    blob = snapshot(trained_events=3, seed=3)
    pinned = tmp_path / "pinned.safetensors"
    pinned.write_bytes(blob)
    job = Lived(tmp_path / "s", f"job.pin_snapshot={pinned}")
    job.state.keep_user("ada", lived(job.events, table := table_of(decode_snapshot(blob), digest(blob), 0))[-1].state)
    now = answer(job.runner(monkeypatch)("user", "ada", "--json", "--at", str(job.ada.newest_event_ms)))["list_now"]
    own_titles = {item_id: item_id for item_id in ITEMS}  # this snapshot's
    assert now["items"] == emitted(lived(job.events, table)[-1], own_titles)


# ---- what may be missing ------------------------------------------------------------------------


def test_state_of_a_job_that_told_no_settings_is_shown_without_a_list(tmp_path, monkeypatch):
    job = Lived(tmp_path / "s", told=False)
    run = job.runner(monkeypatch)
    found = answer(run("user", "ada", "--json"))
    assert (found["user_seq"], found["dies_ms"], found["list_now"]) == (8, None, None)
    assert found["no_list_because"].startswith("LT-INS-310: ")
    assert "--settings FILE" in found["no_list_because"]
    toml = tmp_path / "job.toml"
    toml.write_text(f'[job]\nsnapshot_root = "{job.root}"\n[model]\ndimension = 8\nnegatives = 10\ntop_k = 5\n')
    found = answer(run("user", "ada", "--json", "--settings", str(toml), "--at", str(job.ada.newest_event_ms)))
    assert found["list_now"]["items"] == emitted(job.results[-1])


def test_settings_of_another_dimension_give_no_list_and_say_why(run):
    found = answer(run("user", "ada", "--json", "--set", "model.dimension=16"))
    assert found["list_now"] is None
    assert "dimension 16" in found["no_list_because"]


def test_without_a_time_to_live_a_user_does_not_die(tmp_path, monkeypatch):
    job = Lived(tmp_path / "s", "model.user_ttl_days=0")
    job.state.without_time_to_live()
    run = job.runner(monkeypatch)
    found = answer(run("user", "ada", "--json"))
    assert (found["touched_ms"], found["dies_ms"]) == (None, None)
    assert "for ever: no time to live was set" in run("user", "ada").stdout


def test_an_item_that_nobody_knows_is_shown_by_its_hash(tmp_path, monkeypatch):
    job = Lived(tmp_path / "s")
    job.state.keep_user("eve", lived([event(0, "ghost", "eve")], job.table)[-1].state)
    run = job.runner(monkeypatch)
    digits = f"{hash_id('ghost') % 2**64:016x}"
    assert answer(run("user", "eve", "--json"))["recent"] == [
        {"hash": digits, "item_id": None, "title": None, "event_time_ms": NOW_MS}
    ]
    assert f"1  #{digits}" in run("user", "eve").stdout


def test_a_vector_that_is_not_finite_is_shown_and_said(tmp_path, monkeypatch):
    job = Lived(tmp_path / "s")
    job.state.keep_user("sick", replace(job.ada, embedding=np.full(8, np.nan, np.float32)))
    run = job.runner(monkeypatch)
    found = answer(run("user", "sick", "--json", "--vector"))
    assert (found["finite"], found["norm"], found["embedding"]) == (False, None, [None] * 8)
    assert "it holds numbers that are not finite" in run("user", "sick").stdout


# ---- errors -------------------------------------------------------------------------------------


def test_a_user_that_is_not_there_is_one_line_that_says_how_to_list_them(run, job):
    assert refusal(run("user", "nobody")) == (
        f"LT-INS-301: {job.state.uri} holds no user 'nobody'. `livetower inspect users PATH --match 'PART*'` lists "
        "those there are; a state dies after model.user_ttl_days"
    )


@pytest.mark.parametrize(
    ("blob", "code"),
    [(b"garbage", "LT-INS-201"), (b"LTU2" + bytes(100), "LT-INS-201"), (b"LTU3" + bytes(200), "LT-INS-202")],
)
def test_bytes_that_are_no_user_state_are_one_line_with_the_users_name(tmp_path, monkeypatch, blob, code):
    job = Lived(tmp_path / "s")
    job.state.keep_blob("bad", blob)
    line = refusal(job.runner(monkeypatch)("user", "bad"))
    assert line.startswith(f"{code}: {job.state.uri}: user 'bad': a user state ")


def test_progress_that_cannot_be_read_leaves_the_user_readable(tmp_path, monkeypatch):
    job = Lived(tmp_path / "s")
    job.state.kept_progress = b"garbage"
    found = answer(job.runner(monkeypatch)("user", "ada", "--json"))
    assert found["user_seq"] == 8
    assert "LT-INS-201" in found["no_list_because"]


def test_a_setting_that_cannot_be_is_refused(run):
    line = refusal(run("user", "ada", "--set", "model.top_q=3"))
    assert "LT-INS-311" in line
    assert "the nearest is model.top_k" in line


def test_the_example_in_its_help_runs(job, monkeypatch):
    for words in examples(user):
        job.state.keep_user(words[2], job.ada)
        monkeypatch.setattr(job.state, "uri", words[1])
        job.state.opens(monkeypatch)
        assert CliRunner().invoke(main, ["inspect", *words]).exit_code == 0
