"""`livetower watch`: what a running job does, live. The demo shows the same view of its replay.

    view           what is shown at one moment (pure data)
    lines, screen  the same view as text and JSON (pure), and drawn on a terminal
    figures        records in, a view out (pure), with the help of
      live_hits      hit rates of lists and of popularity, as both come
      popularity     whether a list of what is popular would have held an item
      click_through  interactions joined with the lists they name, by snapshot and by strategy
      followed       one user's list and how its items moved
      freshness      percentiles
    reader         Kafka's topics, in a thread of its own
    run            one watch;  command: the command line

Start reading at view.py.
"""
