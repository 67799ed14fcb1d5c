"""`livetower bench`: how many events a second the job takes, and how fresh its lists are, beside what that could be.

    data         the events and the catalogue, encoded once
    offsets      how far a topic has got, and its records between two points
    backlog      throughput: a backlog, from the first list appended to the last
    freshness    paced runs, beside Kafka alone
    stages       the clock in every list: where the milliseconds went (pure)
    bare_loop    the same events through parse, advance and encode in one thread, without Flink and Kafka
    profile      the lines of Python that take the time
    figures      what was measured, and the JSON of it (pure)
    table, page, charts   the same for people (pure)
    run          the order of things;  command: the command line

What it measures and how to read it: docs/bench.md. Start reading at run.py.
"""
