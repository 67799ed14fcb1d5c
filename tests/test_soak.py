import re

import numpy as np
import orjson
import pytest

from flink_jobs.settings import JobSettings, TopicSettings, load_settings
from livetower.cluster import OPTIONS, jobmanager_memory, taskmanager_memory
from livetower.sandbox.log_files import LOG_MIB, LOGS_KEPT
from livetower.settings_table import settings_page
from livetower.soak import looking
from livetower.soak.bounds import GROWS
from livetower.soak.limits import Limit, Traffic, limits_of, user_bytes_max
from livetower.soak.run import Plan
from livetower.soak.slopes import slope_of
from livetower.soak.table import soak_table
from livetower.soak.traffic import TRIGGER, events
from livetower.soak.verdict import kept, rows_of, soak_json
from models.settings import ModelSettings
from models.user_layout import new_blob

TRAFFIC = Traffic(rate=100, users=20, users_per_s=0.5, items=50, items_per_s=1.0)
SETTINGS = load_settings(None, ["job.snapshot_root=/snapshots"])


# ---- slopes --------------------------------------------------------------------------------------


def test_the_slope_of_a_line_with_noise_is_found_and_its_interval_holds_it():
    rng = np.random.default_rng(0)
    points = [(10.0 * n, 5.0 + 10.0 * n * 36 / 3_600 + rng.normal(0, 0.2)) for n in range(100)]
    slope = slope_of(points)
    assert slope.low < 36 < slope.high
    assert slope.per_hour == pytest.approx(36, rel=0.05)


def test_a_fifth_of_wild_points_moves_no_slope():
    points = [(10.0 * n, 1_000.0 if n % 5 == 0 else 0.01 * n) for n in range(60)]
    assert slope_of(points).per_hour == pytest.approx(3.6, rel=0.25)  # 0.01 in 10 s


def test_a_sawtooth_does_not_grow():
    slope = slope_of([(10.0 * n, float(n % 7)) for n in range(120)])
    assert slope.low <= 0 <= slope.high


def test_the_interval_of_noise_alone_holds_zero_in_nearly_all_of_many_runs():
    missed = 0
    for seed in range(200):
        values = np.random.default_rng(seed).normal(size=40)
        slope = slope_of([(10.0 * n, float(value)) for n, value in enumerate(values)])
        missed += not slope.low <= 0 <= slope.high
    assert missed <= 8  # of 200 at 99 %: 2 are expected


def test_seven_points_or_one_moment_have_no_slope():
    assert slope_of([(float(n), 1.0) for n in range(7)]) is None
    assert slope_of([(5.0, float(n)) for n in range(20)]) is None


# ---- verdict -------------------------------------------------------------------------------------


def samples(*series: tuple[str, list[float]]) -> list[tuple[float, dict[str, float]]]:
    length = len(series[0][1])
    return [(10.0 * (n + 1), {name: values[n] for name, values in series}) for n in range(length)]


def verdict(values: list[float], at_most: float | None = None, per_hour: float | None = None) -> str:
    (row,) = rows_of(samples(("a", values)), {"a": Limit("MiB", at_most, per_hour, "s")})
    return row.verdict


def test_a_value_beyond_its_bound_breaks_it_once_the_warm_up_is_over():
    assert verdict([1.0] * 30, at_most=2) == "within"
    assert verdict([1.0] * 29 + [3.0], at_most=2) == "BROKEN"
    assert verdict([9.0] * 5 + [1.0] * 25, at_most=2) == "within"  # while it warmed up


def test_growth_beyond_its_bound_breaks_it_and_noise_does_not():
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 5, 60)
    assert verdict(list(100 + noise), per_hour=20) == "within"
    assert verdict([100 + n * 10 / 3_600 * 200 for n in range(60)], per_hour=100) == "BROKEN"
    assert verdict([100 + n * 10 / 3_600 * 50 for n in range(60)], per_hour=100) == "within"
    assert verdict([1e6 - n for n in range(60)], per_hour=0) == "within"  # it shrinks


def test_what_has_a_bound_and_was_not_measured_is_no_success():
    rows = rows_of(samples(("b", [1.0] * 30)), {"a": Limit("", 1.0, None, "s")})
    assert [(row.name, row.verdict) for row in rows] == [("a", "not measured"), ("b", "shown")]
    assert not kept(rows)
    assert kept(rows[1:])


def test_the_table_and_the_json_hold_every_row():
    found = samples(("a", [float(n) for n in range(30)]), ("b", [2.5] * 30))
    rows = rows_of(found, {"a": Limit("MiB", 10.0, None, "tower.max_items")})
    assert soak_table(rows).row_count == 2
    record = orjson.loads(orjson.dumps(soak_json(rows, {"minutes": 5}, found)))
    assert record["kept"] is False
    assert [row["name"] for row in record["rows"]] == ["a", "b"]
    assert record["samples"][0] == {"at_s": 10.0, "a": 0.0, "b": 2.5}
    assert record["rows"][0]["most"] == 29.0


# ---- limits --------------------------------------------------------------------------------------


def limits(**settings: object) -> dict[str, Limit]:
    told = [f"{name.replace('__', '.')}={value}" for name, value in settings.items()]
    chosen = load_settings(None, ["job.snapshot_root=/snapshots", *told])
    processes = ["kafka", "jobmanager", "taskmanager-1", "soak"]
    return limits_of(chosen, TRAFFIC, processes, 250.0, 1_000.0, 0.5)


@pytest.mark.parametrize(
    "model",
    [ModelSettings(), ModelSettings(dimension=16, optimizer="adam", consumed_max=7, dedup_max=3, recent_items=5)],
)
def test_the_longest_blob_of_a_user_is_as_long_as_the_layout_makes_it(model):
    lengths = (model.recent_items, model.consumed_max, model.dedup_max, model.top_k)
    optimizer = {"sgd": 0, "adagrad": 1, "adam": 2}[model.optimizer]
    blob = new_blob(np.zeros(80, np.uint8), model.dimension, optimizer, *lengths)
    assert user_bytes_max(model) == len(blob)


def test_a_setting_moves_the_bound_that_names_it():
    usual = limits()
    moved = {
        "state: users": limits(model__consumed_max=100),
        "state: tower": limits(tower__max_items=1_000),
        "tower: items": limits(tower__max_items=1_000),
        "snapshots: files": limits(tower__snapshot_keep_h=0.01),
        "topic: rejected": limits(topics__rejected_mib=1),
        "topic: interactions": limits(topics__segment_mib=1),
        "topic: recommendations": limits(topics__segment_mib=1),
        "checkpoints: duration": limits(job__checkpoint_interval_s=1.0),
    }
    for name, changed in moved.items():
        assert changed[name].at_most < usual[name].at_most, name
        assert changed[name].setting == usual[name].setting


def test_the_logs_of_all_processes_may_fill_their_files_and_no_more():
    assert limits()["logs: size"].at_most == 4 * (LOGS_KEPT + 1) * LOG_MIB


def known_settings() -> set[str]:
    ours = set(re.findall(r"^\| `([\w.-]+?)(?:\.KEY)?` \|", settings_page(), re.MULTILINE))
    return ours | OPTIONS.keys() | taskmanager_memory().keys() | jobmanager_memory().keys() | {"conf/log4j2.properties"}


def test_every_setting_that_a_bound_names_exists():
    named = {name for bounds in GROWS.values() for bound in bounds for name in bound.settings}
    assert named - known_settings() == set()
    assert "model.user_ttl_days" in named


def test_every_setting_that_a_limit_names_exists():
    others = {"taskmanager.memory.*", "jobmanager.memory.*", "jvm-metaspace", "the broker's -Xmx"}
    named = {name for limit in limits().values() for name in limit.setting.split(", ")}
    assert named - others - known_settings() == set()


def test_every_series_that_the_page_names_has_a_limit_or_is_a_topic_that_is_shown():
    shown = {"topic: item-snapshots"}
    said = {bound.seen_as for bounds in GROWS.values() for bound in bounds if bound.seen_as}
    known = {re.sub(r"taskmanager-\d+", "taskmanager-N", name) for name in limits()}
    known |= {re.sub(r": (kafka|jobmanager|taskmanager-\d+|soak)$", ": NAME", name) for name in limits()}
    assert said - known - shown == set()


def test_what_a_soak_tells_the_job_is_a_setting_and_its_callers_come_after():
    plan = Plan(30, 2_000, None, ["tower.max_items=777"])
    chosen = load_settings(None, [*plan.told, "job.snapshot_root=/snapshots"])
    assert isinstance(chosen, JobSettings)
    assert chosen.tower.max_items == 777
    assert chosen.model.user_ttl_days * 86_400 == pytest.approx(225, rel=0.01)  # an eighth of half an hour


# ---- traffic -------------------------------------------------------------------------------------


def test_users_and_items_come_and_leave_for_good():
    stream = events(TRAFFIC)
    seen = [next(stream) for _ in range(10_000)]  # 100 s
    first, last = seen[:1_000], seen[-1_000:]
    assert {user for user, _ in first} & {user for user, _ in last} == set()
    assert {user for user, _ in last} <= set(range(45, 70))
    assert {item for _, item in last} <= set(range(90, 150))
    assert max(user for user, _ in seen) < TRAFFIC.users + 0.5 * 100


def test_a_list_says_when_its_event_was_sent():
    value = orjson.dumps({"user_id": "soak-1", "trigger": "17-123456789"})
    assert TRIGGER.search(value)[1] == b"123456789"
    assert TRIGGER.search(orjson.dumps({"trigger": "probe"})) is None


# ---- looking -------------------------------------------------------------------------------------


def test_files_are_counted_as_the_disk_does(tmp_path):
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "snapshots" / "full-0.safetensors").write_bytes(b"x" * 10_000)
    for topic in ("rejected-0", "rejected-1", "rejected-old-0"):
        (tmp_path / "kafka" / topic).mkdir(parents=True)
        (tmp_path / "kafka" / topic / "0.log").write_bytes(b"x" * 2**20)
        with (tmp_path / "kafka" / topic / "0.index").open("wb") as index:
            index.truncate(10 * 2**20)  # as Kafka does: room that is not used yet
    series = dict(looking.disk_series(tmp_path, TopicSettings()))
    assert series["snapshots: files"] == 1
    assert 10_000 <= series["snapshots: size"] * 2**20 < 20_000
    assert series["topic: rejected"] == pytest.approx(2, abs=0.1)
    assert series["checkpoints: size on disk"] == 0


def test_a_checkpoint_is_told_by_operator_and_an_empty_start_says_nothing():
    answers = {
        "/jobs/j/checkpoints": {"latest": {"completed": {"id": 7, "end_to_end_duration": 321}}},
        "/jobs/j": {"vertices": [{"id": "a", "name": "learn-and-recommend -> sink"}, {"id": "b", "name": "Source"},
                                 {"id": "c", "name": "train-item-tower"}]},
        "/jobs/j/checkpoints/details/7": {
            "tasks": {"a": {"state_size": 3 * 2**20}, "b": {"state_size": 2**20}, "c": {"state_size": 2**19}}
        },
    }  # fmt: skip
    series = dict(looking.checkpoint_series(answers.__getitem__, "j"))
    assert series == {"checkpoints: duration": 321, "state: users": 3.0, "state: tower": 0.5}
    nothing = {"/jobs/j/checkpoints": {"latest": {"completed": None}}}
    assert dict(looking.checkpoint_series(nothing.__getitem__, "j")) == {}


def test_jvms_are_asked_by_name_and_the_broker_is_not_asked():
    asked = []

    def ask(path: str) -> list[dict[str, str]]:
        asked.append(path.split("/metrics")[0])
        return [{"id": "Status.JVM.Memory.Heap.Used", "value": str(3 * 2**20)},
                {"id": "Status.JVM.Threads.Count", "value": "61"}]  # fmt: skip

    series = dict(looking.jvm_series(ask, ["kafka", "jobmanager", "taskmanager-1"]))
    assert asked == ["/jobmanager", "/taskmanagers/taskmanager-1"]
    assert series["heap: jobmanager"] == 3.0
    assert series["threads: taskmanager-1"] == 61.0
