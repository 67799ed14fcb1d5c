"""The page docs/bounds.md: everything that grows, its bound and the setting, from livetower/soak/bounds.py.

python -m livetower.reference.bounds > docs/bounds.md      # after a change; a test compares the two
"""

from livetower.soak.bounds import GROWS, UNBOUNDED, Bound

HEAD = """\
# What grows, and what bounds it

A job that runs for months must not fill a disk or a memory. Everything that grows with events, users, items or time is
listed here with its bound and the setting that moves it. `livetower soak` (`make soak`) runs a job under users and
items that come and go without end, looks at memory, state, files and topics every ten seconds, and fails if something
is beyond its bound or still grows after the warm-up.

It takes the growth of a series as the median of the slopes between all pairs of points (Theil and Sen), which a
sawtooth does not move, and calls a bound broken when even the low end of that slope's interval of 99 % is beyond it.
Its JVMs touch their heaps in full at the start, so that what grows is not a heap that fills. So that everything reaches
its bound within the soak it sets short times: `model.user_ttl_days`, `tower.snapshot_keep_h` and `topics.retention_h`
to an eighth of it, `tower.max_items` to 2,500 and `topics.segment_mib` to 16.

This page is written by `python -m livetower.reference.bounds > docs/bounds.md`.
"""


def bounds_page() -> str:
    """The page: a table for each kind of thing, and what nothing bounds."""
    tables = [f"\n## {kind}\n\n{bounds_table(bounds)}" for kind, bounds in GROWS.items()]
    return HEAD + "".join(tables) + "\n## Not bounded\n\n" + "".join(f"- {line}\n" for line in UNBOUNDED)


def bounds_table(bounds: tuple[Bound, ...]) -> str:
    """One table."""
    lines = ["| what | bound | setting | in a soak |", "| --- | --- | --- | --- |"]
    for bound in bounds:
        settings = ", ".join(f"`{name}`" for name in bound.settings)
        lines.append(f"| {bound.what} | {bound.bound} | {settings} | {bound.seen_as} |")
    return "".join(f"{line}\n" for line in lines)


if __name__ == "__main__":
    print(bounds_page(), end="")
