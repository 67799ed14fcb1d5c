"""What a job says of itself to whoever asks Flink later."""

import json

import pytest
from test_released_versions import FIXTURES

from flink_jobs.job_facts import BLOB_VERSIONS, UIDS, job_facts
from flink_jobs.settings import load_settings
from operators.code_digest import code_digest

SETTINGS = load_settings(
    None,
    [
        "job.snapshot_root=/snapshots",
        "model.dimension=32",
        "kafka.properties.sasl.jaas.config=secret",
        "kafka.admin_properties.sasl.password=secret",
    ],
)


def test_a_job_says_its_settings_its_code_its_uids_and_its_versions():
    facts = job_facts(SETTINGS)
    assert sorted(facts) == ["livetower.blobs", "livetower.code", "livetower.settings", "livetower.uids"]
    settings = json.loads(facts["livetower.settings"])
    assert (settings["model"]["dimension"], settings["job"]["snapshot_root"]) == (32, "/snapshots")
    assert facts["livetower.code"] == code_digest()
    assert set(json.loads(facts["livetower.uids"])) == set(UIDS)
    assert json.loads(facts["livetower.blobs"]) == BLOB_VERSIONS


def test_no_value_of_a_kafka_property_is_said():
    facts = job_facts(SETTINGS)
    assert json.loads(facts["livetower.settings"])["kafka"]["properties"] == ["sasl.jaas.config"]
    assert "secret" not in str(facts)


@pytest.mark.parametrize(
    ("blob", "fixture"),
    [
        ("user state", "user_state_{}.bin"),
        ("example", "example_{}.bin"),
        ("tower input", "input_{}.bin"),
        ("tower block", "block_{}.bin"),
        ("tower progress", "progress_{}.safetensors"),
        ("item snapshot", "snapshot_{}.safetensors"),
    ],
)
def test_the_version_of_a_blob_is_that_of_its_newest_fixture(blob, fixture):
    newest = max(n for n in range(1, 50) if (FIXTURES / fixture.format(n)).exists())
    assert BLOB_VERSIONS[blob] == newest
