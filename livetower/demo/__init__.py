"""`livetower demo`: replays MovieLens-100k through a real Kafka and Flink, and judges the lists that come back.

    movielens      downloads the data once and shapes it into items and interactions
    stream         the interactions of a replay, encoded once; knows no data set
    replay         sends a stream to Kafka, as fast as it goes or at a fixed rate
    listener       reads the lists back and notes when each arrived
    live_quality   hit rates of the live lists and of popularity (pure)
    freshness      percentiles (pure)
    job_health     what Flink's REST API says about a job in trouble
    report         the lines that are printed (pure)
    run            the order of things;  command: the command line

Start reading at run.py.
"""
