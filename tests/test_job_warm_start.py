"""A job that begins with a trained tower: lists from the first event on, and a restore that needs the file no more."""

import numpy as np
import pytest
from crowd import SMALL
from made_up import MODEL
from running_job import RunningJob, wait_for

from livetower.evaluate.streams import steady_stream
from models.prequential import LocalJob, prequential_ranks
from models.settings import TowerSettings
from models.snapshots import decode_snapshot
from models.tower_artefact import encode_tower, load_tower

pytestmark = pytest.mark.flink


def test_a_job_starts_from_a_trained_tower_and_keeps_it(sandbox, tmp_path):
    local = LocalJob(MODEL, TowerSettings(admission_events=1))
    prequential_ranks(local, steady_stream(np.random.default_rng(5), 2_000), lambda _: None)
    artefact = tmp_path / "tower.safetensors"
    artefact.write_bytes(encode_tower(local.stream))
    trained = load_tower(artefact.read_bytes())
    live = trained.rows.hashes[: trained.n_items]
    settings = (*SMALL, f"job.start_tower={artefact}", "job.checkpoint_interval_s=1", "tower.deltas_per_full=0")
    with RunningJob(sandbox, tmp_path / "snapshots", *settings) as job:
        job.wait_for_first_list()  # nobody has sent an item or an event about one
        (first, *_) = [a for a in job.announcements() if a.kind == "full"]
        snapshot = decode_snapshot((tmp_path / "snapshots" / str(first.file)).read_bytes())
        assert (first.trained_events, first.items) == (local.stream.trained, trained.n_items)
        assert np.array_equal(snapshot.hashes, live)
        assert np.array_equal(snapshot.vectors, trained.rows.vectors[: trained.n_items])

        job.wait_for_checkpoint()
        artefact.unlink()
        before = len(job.announcements())
        job.lose_taskmanager(job.taskmanagers("train-item-tower")[0])
        again = wait_for("a snapshot of the restored tower", lambda: job.announcements()[before:])[0]
        assert (again.trained_events, again.items) == (local.stream.trained, trained.n_items)
