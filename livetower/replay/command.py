"""The commands `livetower replay` and `livetower items`: they parse, wire and print; the rest stands beside them."""

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from livetower.errors import CannotGoOn
from livetower.kafka_options import kafka_client, settings_option

if TYPE_CHECKING:
    from livetower.replay.records import Layout
    from livetower.replay.send import Malformed, Pace, Sending

INTERRUPTED = 130


Options = Callable[[Callable[..., None]], Callable[..., None]]


def options(*these: Options) -> Options:
    """Put several options on a command, in this order."""

    def put(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(these):
            command = option(command)
        return command

    return put


FILE = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
COLUMN = click.option(
    "--column", "columns", multiple=True, metavar="FIELD=COLUMN", help="The column of a field, where the names differ."
)
TIME_UNIT = click.option(
    "--time-unit",
    type=click.Choice(["ms", "s"]),
    default="ms",
    show_default=True,
    help="Of times that are numbers since 1970. Dates in ISO 8601 are read too.",
)
SEPARATOR = click.option(
    "--separator", default="|", show_default=True, help="Between the entries of a list that is text."
)
MALFORMED = click.option(
    "--malformed",
    type=click.Choice(["stop", "skip", "send"]),
    default="stop",
    show_default=True,
    help="What to do with a row that the job would reject: stop there, pass over it, or send it for the job to reject. "
    "They are counted and the first ones shown.",
)
PLACE = options(
    click.option(
        "--run-dir",
        type=click.Path(file_okay=False, path_type=Path),
        help="The sandbox's directory. Default: LIVETOWER_HOME/sandbox.",
    ),
    click.option("--bootstrap-servers", metavar="HOST:PORT", help="Brokers of another Kafka than the sandbox's."),
    click.option(
        "--kafka-property", "properties", multiple=True, metavar="NAME=VALUE", help="librdkafka's (TLS, SASL)."
    ),
    settings_option,
)
JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout instead of the sentence.")


@click.command()
@FILE
@COLUMN
@click.option(
    "--event-type", "event_types", multiple=True, metavar="WORD=TYPE", help="The event type that a word means."
)
@click.option("--default-type", help="Of rows without event type. Default: rating with a value, else view.")
@TIME_UNIT
@SEPARATOR
@click.option("--speed", type=click.FloatRange(min=0, min_open=True), help="So many times as fast as it happened.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Events a second. Default: all at once.")
@click.option(
    "--times",
    type=click.Choice(["keep", "now"]),
    default="keep",
    show_default=True,
    help="Event times as they are, or all shifted so that the newest comes closest to now.",
)
@MALFORMED
@click.option(
    "--state",
    "state_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the acknowledged position is kept. Default: FILE.replay.json",
)
@click.option("--restart", is_flag=True, help="Send everything from the first row, whatever the state says.")
@click.option("--topic", default="interactions", show_default=True, help="The job's topics.interactions.")
@PLACE
@JSON
def replay(
    file: Path,
    columns: tuple[str, ...],
    event_types: tuple[str, ...],
    default_type: str | None,
    time_unit: str,
    separator: str,
    speed: float | None,
    rate: float | None,
    times: str,
    malformed: str,
    state_path: Path | None,
    restart: bool,
    topic: str,
    run_dir: Path | None,
    bootstrap_servers: str | None,
    properties: tuple[str, ...],
    settings_file: Path | None,
    as_json: bool,
) -> None:
    """Send the interactions of a file to a running job.

    FILE is CSV, Parquet or JSONL with user_id, item_id and event_time_ms, and optionally event_id (else <file>-<line>),
    event_type, value and the other fields of an interaction. Ctrl-C ends it in good order; the same command goes on
    behind the last acknowledged row, and sends what was appended to a file since.

    \b
      livetower replay plays.csv
      livetower replay plays.parquet --column user_id=visitor --column event_time_ms=at --time-unit s
      livetower replay shop.jsonl --event-type addtocart=click --event-type transaction=purchase --malformed skip
      livetower replay plays.csv --speed 60 --times now
      livetower replay plays.csv --rate 500 --bootstrap-servers kafka-1:9092 --json
    """  # noqa: D301  # click wants the backspace: it keeps the lines of the examples
    # pyarrow and Kafka's client need not load for `livetower --help`.
    from livetower.replay.records import INTERACTION_FIELDS, INTERACTION_NEEDS, Layout, interaction_maker
    from livetower.replay.send import Malformed, Pace
    from livetower.replay.state import default_state_path
    from models.records import EventType

    known = [str(event_type) for event_type in EventType]
    types = pairs("--event-type", event_types)
    for name in [*types.values(), *([default_type] if default_type else [])]:
        if name not in known:
            raise CannotGoOn(f"an event type must be one of {', '.join(known)}; got {name!r}")
    if speed is not None and rate is not None:
        raise CannotGoOn("--speed follows the file's times and --rate does not: give one of them")
    layout = Layout(pairs("--column", columns), types, default_type, time_unit, separator)
    with explained():
        place = kafka_client(run_dir, bootstrap_servers, settings_file, properties)
        run = Run(file, layout, (INTERACTION_FIELDS, INTERACTION_NEEDS), topic, *place)
        state = run.state_to_go_on_from(state_path or default_state_path(file), restart, times == "now", speed)
        make = interaction_maker(file, layout, state.shift_ms, wall_clock_ms)
        run.send(make, Malformed(malformed), Pace(speed, rate), as_json)


@click.command()
@FILE
@COLUMN
@click.option("--number", "numbers", multiple=True, metavar="COLUMN", help="A column that is a number of the item.")
@click.option("--vector", "vectors", multiple=True, metavar="COLUMN", help="A column that is a vector of the item.")
@TIME_UNIT
@SEPARATOR
@MALFORMED
@click.option("--topic", default="items", show_default=True, help="The job's topics.items.")
@PLACE
@JSON
def items(
    file: Path,
    columns: tuple[str, ...],
    numbers: tuple[str, ...],
    vectors: tuple[str, ...],
    time_unit: str,
    separator: str,
    malformed: str,
    topic: str,
    run_dir: Path | None,
    bootstrap_servers: str | None,
    properties: tuple[str, ...],
    settings_file: Path | None,
    as_json: bool,
) -> None:
    """Send the catalogue in a file to a running job.

    FILE is CSV, Parquet or JSONL with item_id, and optionally title, text, category, tags, available, updated_ms, and,
    but for CSV, numbers and vectors, objects by name. Sending a catalogue again does no harm: the latest record of an
    item counts.

    \b
      livetower items films.csv --column tags=genres --number year
      livetower items products.parquet --column item_id=sku --vector image --malformed skip
      livetower items films.jsonl --json
    """  # noqa: D301  # click wants the backspace: it keeps the lines of the examples
    from livetower.replay.records import ITEM_FIELDS, ITEM_NEEDS, Layout, item_maker
    from livetower.replay.send import Malformed, Pace

    layout = Layout(
        pairs("--column", columns), time_unit=time_unit, separator=separator, numbers=numbers, vectors=vectors
    )
    with explained():
        place = kafka_client(run_dir, bootstrap_servers, settings_file, properties)
        run = Run(file, layout, (ITEM_FIELDS, ITEM_NEEDS), topic, *place)
        run.send(item_maker(file, layout), Malformed(malformed), Pace(), as_json)


class Run:
    """One file on its way to one topic."""

    def __init__(
        self,
        file: Path,
        layout: "Layout",
        schema: tuple[Sequence[str], Sequence[str]],  # the fields of the record, and those it needs
        topic: str,
        brokers: str,
        properties: dict[str, str],
    ) -> None:
        from livetower.replay.kafka import topic_id
        from livetower.replay.records import check_columns
        from livetower.replay.state import ReplayState
        from livetower.rows import column_names

        check_columns(file, column_names(file), layout, *schema)
        self._file, self._layout, self._topic = file, layout, topic
        self._brokers, self._properties = brokers, properties
        self._state = ReplayState(file.name, topic, topic_id(self._brokers, topic, self._properties))
        self._state_path: Path | None = None

    def state_to_go_on_from(self, path: Path, restart: bool, to_now: bool, speed: float | None) -> Any:
        """The state of an earlier run, or a new one, with the shift of its times."""
        from livetower.replay.records import shift_to_now_ms, time_span_ms
        from livetower.replay.state import read_state, require_same
        from livetower.rows import read_rows

        self._state_path = path
        earlier = None if restart else read_state(path)
        if earlier is not None:
            require_same(earlier, self._state, path)
            self._state = earlier
            click.echo(f"{self._file}: going on behind row {earlier.number} ({path})", err=True)
        elif to_now and (span := time_span_ms(read_rows(self._file), self._layout)) is not None:
            self._state.shift_ms = shift_to_now_ms(span, wall_clock_ms(), speed)
        return self._state

    def send(self, make: Any, malformed: "Malformed", pace: "Pace", as_json: bool) -> None:
        """Send the rows and print what became of them; exit code 130 after Ctrl-C."""
        from livetower.progress import progress_bars
        from livetower.replay.kafka import open_producer
        from livetower.replay.send import Sending
        from livetower.replay.state import rows_after, write_state
        from livetower.rows import count_rows, read_rows

        path, total, began_s = self._state_path, count_rows(self._file), time.monotonic()
        if path is not None:
            write_state(path, self._state)  # before the first row, since it may not be writable
        with progress_bars(lines=True) as begin:
            sending = Sending(
                producer=open_producer(self._brokers, self._properties),
                topic=self._topic,
                file=str(self._file),
                make=make,
                malformed=malformed,
                state=self._state,
                save=(lambda _state: None) if path is None else (lambda state: write_state(path, state)),
                show=lambda line: click.echo(line, err=True),
                progress=begin(self._topic, total),
                pace=pace,
                resumable=path is not None,
            )
            rows = read_rows(self._file)
            with stopped_by_signals(sending):
                sending.run(rows if path is None else rows_after(rows, self._state, path))
        report(sending, total, time.monotonic() - began_s, as_json)
        if sending.stopped:
            raise SystemExit(INTERRUPTED)


def report(sending: "Sending", total: int, seconds: float, as_json: bool) -> None:
    """Say what was sent, what was malformed and why, and whether there is more."""
    count = sending.reasons.total()
    if as_json:
        outcome = {
            "file": sending.file,
            "topic": sending.topic,
            "finished": not sending.stopped,
            "sent": sending.sent,
            "acknowledged": sending.acknowledged,
            "malformed": count,
            "reasons": dict(sorted(sending.reasons.items())),
            "position": sending.state.number,
            "rows": total,
            "seconds": round(seconds, 3),
            "events_per_s": round(sending.acknowledged / seconds, 1) if seconds > 0 else 0.0,
        }
        click.echo(json.dumps(outcome))
        return
    click.echo(f"{sending.acknowledged:,} records of {sending.file} are in topic {sending.topic} ({seconds:.1f} s)")
    if count:
        reasons = ", ".join(f"{reason} {n:,}" for reason, n in sending.reasons.most_common())
        what = "sent for the job to reject" if sending.malformed == "send" else "passed over"
        click.echo(f"{count:,} malformed rows were {what}: {reasons}")
    if sending.stopped:
        click.echo(f"stopped behind row {sending.state.number:,} of {total:,}; the same command goes on from there")


@contextmanager
def stopped_by_signals(sending: "Sending") -> Iterator[None]:
    """Let the first Ctrl-C or SIGTERM end the sending in good order, and a second one at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def put_back() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def stop(_number: int, _frame: FrameType | None) -> None:
        sending.stopped = True
        put_back()

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        put_back()


@contextmanager
def explained() -> Iterator[None]:
    """Turn what the person can cure into one line and exit code 2."""
    from livetower.replay.errors import ReplayError
    from livetower.rows import UnreadableFile
    from livetower.sandbox import SandboxError

    try:
        yield
    except (ReplayError, UnreadableFile, SandboxError) as error:
        raise CannotGoOn(str(error)) from error


def pairs(option: str, given: tuple[str, ...]) -> dict[str, str]:
    """NAME=VALUE options as a mapping."""
    for each in given:
        if not all(each.partition("=")):
            raise CannotGoOn(f"{option}: NAME=VALUE was needed; got {each!r}")
    return dict(each.split("=", 1) for each in given)


def wall_clock_ms() -> int:
    """Now, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000
