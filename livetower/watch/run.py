"""One watch: a thread reads the topics, this one shows what is known of them, until it is stopped."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from flink_jobs.kafka_clients import librdkafka_properties
from flink_jobs.settings import JobSettings
from livetower.watch.figures import Figures
from livetower.watch.reader import Committed, Reader, open_consumer
from livetower.watch.screen import Renderer
from livetower.watch.view import View

GROUP = "livetower-watch"


class Watch:
    """The topics of a job with these settings, read until `stop`. Raises WatchError when there is nothing to watch."""

    def __init__(self, settings: JobSettings, user_id: str | None = None, history: int = 0) -> None:
        brokers, properties = settings.kafka.bootstrap_servers, librdkafka_properties(settings.kafka)
        self._figures = Figures(settings.model, user_id, time.monotonic())
        self._reader = Reader(
            open_consumer(brokers, GROUP, properties), brokers, settings.topics, self._figures, history
        )
        group = open_consumer(brokers, settings.job.group_id, properties)
        self._committed = Committed(group, self._reader.interactions)
        self.read = self._reader.read

    def view(self) -> View:
        """What is known now."""
        committed = self._committed.offsets(time.monotonic())
        with self._reader.lock:
            self._figures.committed = committed
            return self._figures.view(time.monotonic())


def show_until_stopped(
    read: Callable[[threading.Event], None],
    view: Callable[[], View],
    renderer: Renderer,
    stop: threading.Event,
    seconds: float | None = None,
) -> None:
    """Read in a thread and show views, the last one when `seconds` are over or the thread has ended."""
    deadline = None if seconds is None else time.monotonic() + seconds
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="watch") as pool:
        reading = pool.submit(read, stop)
        reading.add_done_callback(lambda _: stop.set())
        try:
            with renderer:
                while True:
                    left_s = renderer.every_s if deadline is None else deadline - time.monotonic()
                    ended = stop.wait(max(0.0, min(renderer.every_s, left_s)))
                    if reading.done() and reading.exception() is not None:
                        break
                    renderer.show(view())
                    if ended or (deadline is not None and time.monotonic() >= deadline):
                        break
        finally:
            stop.set()
        reading.result()
