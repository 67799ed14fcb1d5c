"""`livetower doctor`: what would keep the job from running, said before it is submitted.

facts.py      what was seen of this machine, Flink, Kafka and the directories
gather.py     asks them; whatever cannot be had becomes a fact too
findings.py   facts → findings, pure functions
checks.py     the stable codes, each with what is needed and the cure; docs/doctor.md is made of it
memory.py     what an item table takes
command.py    the command line
"""
