"""`livetower demo`: replays MovieLens-100k through a real Kafka and Flink, and judges the lists that come back.

    movielens      downloads the data once and shapes it into items and interactions
    stream         the interactions of a replay, encoded once; knows no data set
    replay         sends a stream to Kafka, as fast as it goes or at a fixed rate
    listener       reads the lists back and notes when each arrived
    live_quality   hit rates of the live lists and of popularity (pure)
    job_health     what Flink's REST API says about a job in trouble
    report         the summary at the end (pure)
    name_films     you name films and see your own list move (pure)
    own_list       your events into Kafka, your lists out of it
    run            the order of things;  command: the command line

What is shown meanwhile is the view of livetower.watch. Start reading at run.py.
"""
