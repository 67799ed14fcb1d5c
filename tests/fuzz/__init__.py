"""Hostile input for everything that reads bytes from outside: `python -m fuzz --inputs 1000000 --seed 1`."""
