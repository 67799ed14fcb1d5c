"""`livetower watch` beside a running job."""

import threading

import pytest
from running_job import RunningJob, wait_for

from flink_jobs.settings import load_settings
from livetower.watch.run import Watch

pytestmark = pytest.mark.flink


def test_a_watch_shows_the_lists_the_lag_the_rejections_and_the_clicks_of_a_running_job(sandbox, tmp_path):
    with RunningJob(sandbox, tmp_path) as job:
        job.load_items(*(f"i{n}" for n in range(20)))
        given = [f"topics.{name}={topic}" for name, topic in job.topics.items()]
        given += ["job.snapshot_root=/unused", f"kafka.bootstrap_servers={sandbox.bootstrap_servers}"]
        given.append(f"job.group_id={job.topics['items'].removesuffix('-items')}")
        watch = Watch(load_settings(None, given), user_id="ann", history=1_000)
        stop = threading.Event()
        thread = threading.Thread(target=watch.read, args=(stop,))
        thread.start()
        try:
            wait_for("the history is read", lambda: watch.view().lag is not None)
            job.event("e1", "ann", "i3")
            job.flush()
            shown = wait_for("a list", lambda: watch.view().shown)
            met = shown.entries[0].item_id
            job.event("e2", "ann", met, rec_id="ann:e1", position=0)
            job.event("e3", "bob", "i3", event_type="stare")
            job.flush()
            view = wait_for(
                "a click and a rejection",
                lambda: (seen := watch.view()).rejected and any(c.clicked for c in seen.by_strategy) and seen,
            )
            wait_for("no lag", lambda: watch.view().lag == 0)
        finally:
            stop.set()
            thread.join(30)
    assert (shown.user_id, len(shown.entries)) == ("ann", 10)
    assert "i3" not in {entry.item_id for entry in shown.entries}
    assert view.rejected == {"unknown_event_type": 1}
    assert (view.rates.scored, view.rates.live_hits) == (1, 1)
    assert view.snapshot is not None
    assert view.freshness_p99_ms is not None
