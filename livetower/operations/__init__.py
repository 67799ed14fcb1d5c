"""Operations on a running job: savepoint, stop, resume, upgrade, rescale, rollback.

    command.py          the commands: they parse and print
    steps.py            what each of them does, in which order
    flink_job.py        the running job, through Flink's REST API
    found_state.py      retained checkpoints and savepoints, the newest first, and what is wrong with each
    metadata.py         the `_metadata` of either, read without Java
    announced.py        the item snapshots that a state names
    snapshot_copies.py  copies of their files beside a savepoint, and back
    job_record.py       settings, code and versions of a job, as it said them
    settings_again.py   the same settings for the next submission, with changes
    differences.py      what another code or other settings change
    places.py           files, here or in an object store

Submitting needs the sandbox; everything else works on any cluster. docs/operations.md says what is guaranteed.
"""
