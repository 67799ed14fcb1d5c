"""`livetower chaos`: kill, break and upgrade a running job while events flow, and prove that nothing was lost.

    plan.py             which faults, in which legs and which order: all from one seed
    stream.py           the events, from the seed
    sender.py           sends them at a pace, from a thread of its own
    listener.py         every list, as it comes
    seen_list.py        what is kept of it
    chaos_job.py        the job: submitted, stopped, looked at
    leg.py              one job from its first event to its last, while faults hit it
    faults.py           what is done to it, and how one sees that it is over
    accepted.py         what the job must have made of what Kafka accepted, computed by `advance` alone
    pinned.py           the snapshot that a pinned leg ranks with
    state_at_end.py     what it has made of it, from a savepoint
    guarantees.py       the difference: lost, doubled, wrong
    run.py              the order
    table.py            the table
    extra_output_job.py the job of the upgrade: one output more

It needs the sandbox, since it kills processes. docs/chaos.md says what is proven, and docs/guarantees.md what is
promised.
"""
