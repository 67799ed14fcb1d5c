"""Prints every user's newest list as it comes, until SIGTERM or Ctrl-C.

python docs/consumer_example.py localhost:9092 my-group
"""

import sys

from livetower.consume import ConsumeError, ListConsumer, NewestLists, Received, stop_on_signals


def main(bootstrap_servers: str, group_id: str) -> int:
    """Read until told to stop. What `take_list` has returned from is committed, at the latest at the end."""
    newest = NewestLists()
    older = 0

    def take_list(received: Received) -> None:
        nonlocal older
        recommendation = received.recommendation
        if not newest.accept(recommendation):  # a restored job says again what it has said before
            older += 1
            return
        items = ", ".join(entry.item_id for entry in recommendation.items)
        print(f"{recommendation.user_id}: {items} ({received.freshness_ms} ms after the event)", flush=True)

    try:
        consumer = ListConsumer(bootstrap_servers, group_id)
        with stop_on_signals(consumer):
            consumer.run(take_list, newest.forget)
    except ConsumeError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"stopped; {len(newest)} users, {older} older list{'s' * (older != 1)} left aside")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
