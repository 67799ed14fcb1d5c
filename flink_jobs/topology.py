"""The job between its streams, without Kafka: who is keyed by what, who runs where, what the tower's input is made of.

    interactions ─ keyed by user_key ─┐
    priority     ─ keyed by user_key ─┤
    snapshots ─ broadcast ────────────┴─► learn-and-recommend ─► emissions ─ example ─┐
    items ────────────────────────────────────────────────────────────────── item ────┼─► train-item-tower ─►
    commands ──────────────────────────────────────────────────────────── command ────┘

A stream here is a Table: SQL shapes rows inside the JVM, so a record crosses into Python once. Which
topics the streams come from and go to is recommend_job.py's; what the operators do with a row is theirs (operators/).
"""

from dataclasses import dataclass

from pyflink.common import Types
from pyflink.common.typeinfo import RowTypeInfo
from pyflink.datastream import DataStream, KeyedBroadcastProcessFunction, KeyedProcessFunction, KeyedStream
from pyflink.table import StreamTableEnvironment, Table

from flink_jobs.jvm import buffer_up_to, key_in_jvm
from operators.rows import COMMAND, EMISSION, EXAMPLE, INTERACTION, ITEM, SNAPSHOT, TOWER_INPUT, TOWER_KEY

LEARN_AND_RECOMMEND = "learn-and-recommend"
TRAIN_ITEM_TOWER = "train-item-tower"
TOWER_SLOTS = "item-tower"
EXAMPLES_WAIT_MS = 10
"""Examples may wait so long for others to cross the network with: nobody waits for the tower, and a flush for each
example costs both sides a tenth of a core at 2,000 events/s."""


@dataclass(frozen=True, slots=True)
class Streams:
    """What comes out: rows of operators.rows.EMISSION."""

    emissions: Table
    """Of learn-and-recommend: recommendation (with its example), example, rejected."""
    tower_emissions: Table
    """Of train-item-tower: announcement, rejected."""


def build(
    tables: StreamTableEnvironment,
    interactions: Table,
    snapshots: Table,
    items: Table,
    commands: Table,
    learn_and_recommend: KeyedBroadcastProcessFunction,
    train_item_tower: KeyedProcessFunction,
    priority: Table | None = None,
) -> Streams:
    """Connect the streams; learn_and_recommend must carry its broadcast state's descriptor as SNAPSHOTS.

    interactions and priority have the columns of operators.rows.INTERACTION, snapshots those of SNAPSHOT, items and
    commands those of TOWER_INPUT but kind.
    """
    lanes = [interactions] if priority is None else [interactions, priority]
    broadcast = tables.to_append_stream(snapshots, SNAPSHOT).broadcast(learn_and_recommend.SNAPSHOTS)
    learned = (
        keyed_by_user(tables, lanes)
        .connect(broadcast)
        .process(learn_and_recommend, EMISSION)
        .uid(LEARN_AND_RECOMMEND)
        .name(LEARN_AND_RECOMMEND)
    )
    emissions = tables.from_data_stream(learned)
    trained = (
        tower_input(tables, emissions, items, commands)
        .process(train_item_tower, EMISSION)
        .uid(TRAIN_ITEM_TOWER)
        .name(TRAIN_ITEM_TOWER)
        # One key needs one subtask. Torch and numba must not share a task thread, so the tower gets slots of its own.
        .set_parallelism(1)
        .slot_sharing_group(TOWER_SLOTS)
    )
    return Streams(emissions, tables.from_data_stream(trained))


def tower_input(tables: StreamTableEnvironment, emissions: Table, items: Table, commands: Table) -> KeyedStream:
    """Examples, items and commands as one keyed stream, since a checkpoint barrier must find the tower with one input.

    They are united behind SQL, so that examples leave learn-and-recommend's own task for the tower: a UNION ALL in SQL
    is a task between the two, one more thread and copy an event.
    """
    nowhere = "CAST(NULL AS STRING) AS `topic`, CAST(NULL AS INT) AS `partition`, CAST(NULL AS BIGINT) AS `offset`"
    examples = tables.sql_query(
        f"SELECT '{EXAMPLE}' AS kind, CAST(NULL AS BYTES) AS `key`, example AS `value`, {nowhere} FROM {emissions} "
        "WHERE example IS NOT NULL"
    )
    columns = "`key`, `value`, `topic`, `partition`, `offset`"
    tagged_items = tables.sql_query(f"SELECT '{ITEM}' AS kind, {columns} FROM {items}")
    tagged_commands = tables.sql_query(f"SELECT '{COMMAND}' AS kind, {columns} FROM {commands}")
    key = f"'{TOWER_KEY}'"
    example_pairs = pairs(tables, key, examples, TOWER_INPUT)
    buffer_up_to(example_pairs, EXAMPLES_WAIT_MS)
    others = [pairs(tables, key, tagged, TOWER_INPUT) for tagged in (tagged_items, tagged_commands)]
    return key_in_jvm(example_pairs.union(*others), TOWER_INPUT)


def keyed_by_user(tables: StreamTableEnvironment, lanes: list[Table]) -> KeyedStream:
    """The lanes' rows keyed by user, in the JVM.

    They are united in front of the keying, so that each lane has network channels of its own: learn-and-recommend takes
    a buffer of each in turns, and what waits in one does not stand before the other.
    """
    first, *others = (pairs(tables, "user_key", lane, INTERACTION) for lane in lanes)
    return key_in_jvm(first.union(*others) if others else first, INTERACTION)


def pairs(tables: StreamTableEnvironment, key: str, table: Table, row_type: RowTypeInfo) -> DataStream:
    """The table's rows, each behind its key."""
    columns = ", ".join(f"`{name}`" for name in row_type.get_field_names())
    keyed = tables.sql_query(f"SELECT {key}, ROW({columns}) FROM {table}")
    return tables.to_append_stream(keyed, Types.ROW_NAMED(["key", "row"], [Types.STRING(), row_type]))
