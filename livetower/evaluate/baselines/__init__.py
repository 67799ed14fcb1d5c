"""What the recommender must beat: each baseline in one file, which returns the rank (n,) of every event by the protocol
of models/prequential.py: NOT_SCORED for a user's first event, MISS for an item never seen before.
"""
