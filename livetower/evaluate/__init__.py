"""`livetower evaluate` and `livetower tune`: how good the recommender is on a stream, without Kafka and Flink.

    events      reads MovieLens-100k, CSV, Parquet or JSONL, and puts it into the protocol's order
    run         the recommender and the baselines over one stream (models/prequential.py is the recommender)
    baselines/  popularity, ISGD, RAISGD, item neighbours, EASE: one file each
    launch      the protocol for cold items
    streams     made-up streams whose right answer is known
    report      the table and the JSON
    tune        searches settings on the first 40% of a stream
    command     the command line

Start reading at run.py.
"""
