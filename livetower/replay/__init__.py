"""`livetower replay FILE` and `livetower items FILE`: data of one's own onto the topics of a running job.

    records.py   a row of a file → the record that it becomes, or what is wrong with it
    send.py      records → Kafka: pace, acknowledgements, malformed rows
    state.py     how far a replay has come, for the next run
    command.py   the command line

Rows come from livetower/rows.py. It knows nothing of what the job answers.
"""
