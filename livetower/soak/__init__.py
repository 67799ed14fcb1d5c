"""`livetower soak`: a job under a stream without end, and whether anything of it grows beyond its bound.

    traffic     users and items that come and go, sent at a fixed rate; the lists that come back
    looking     one sample: memory, state, files, topics, freshness
    slopes      how fast a series grows, robustly (pure)
    bounds      everything that grows, what bounds it, and the setting; docs/bounds.md is written from it
    limits      the bounds of one soak in numbers (pure)
    verdict     series and limits to rows, and the JSON of it (pure)
    run         the order of things;  command: the command line

Start reading at run.py.
"""
