"""`livetower inspect`: what a checkpoint or savepoint of our job has learned. It needs no cluster and no Java.

    reading.py   what can be asked of a checkpoint, whatever way it was written
    command.py   the commands; each stands in a file of its name
    errors.py    how a state that cannot be read is answered

The files are opened read-only, and nothing in them is unpickled or executed.
"""
