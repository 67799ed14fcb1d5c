"""The science of Livetower: records, user state, item table, learning, ranking, the item tower and its snapshots.

Pure functions and values over numpy, numba and torch. Nothing here knows Flink, Kafka, a clock, the environment, a file
or a log: time and settings arrive as arguments. Read `recommender.py` first: its `advance` is the one function that
decides.
"""
