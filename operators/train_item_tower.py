"""train-item-tower: examples, items and commands in, announcements of item snapshots out.

It translates between Flink and `models.tower_stream`, which decides how the tower learns; publisher.py decides when a
snapshot is due. One subtask, one input, one key; torch enters the job through this file alone. Publishing follows
the wall clock and is no part of the learning state.

State, all under the one key (models/tower_state.py has the layouts):
    log         MapState, ring of the latest 32,000 inputs, one put each: redo log and replay window at once. About
                25 MiB at 100 consumed items a user, 80 MiB at 1,024; an item counts with its JSON. The inputs of an
                erased user leave it about a second later
    blocks      MapState, 64 rows each; the changed ones are written at batch borders at most 8,000 inputs apart
    catalogue   MapState, one entry per item that the catalogue or events have named; tower.max_items bounds those with
                a row and again those without, tower.admission_waiting_max those that wait for one
    progress    ValueState, what the tower is beside its rows, and the settings that the job runs with, so that a
                checkpoint tells them; written with the blocks, and before the first input
None of it has a time to live. Only this operator reads it.
"""

import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path

from pyflink.common import Row, Types
from pyflink.datastream import KeyedProcessFunction, RuntimeContext
from pyflink.datastream.state import MapStateDescriptor, ValueStateDescriptor

from models.commands import Command, CommandKind, encode_command, parse_command
from models.compile_kernels import compile_tower
from models.erasure import InvalidErasure, is_erasure
from models.examples import InvalidExample, kafka_ms_of_example
from models.records import InvalidRecord, encode_item, parse_item
from models.settings import ModelSettings, TowerSettings
from models.snapshots import InvalidSnapshot, decode_snapshot
from models.tower_artefact import InvalidArtefact
from models.tower_rows import InvalidBlock
from models.tower_state import (
    WRITE_INPUTS,
    InvalidProgress,
    begin_write,
    encode_entry,
    encode_progress,
    log_place,
    purge_log,
    redo_log,
    restore_tower,
    with_job_settings,
)
from models.tower_stream import InputKind, InvalidInput, Shed, TowerInput, TowerStream, encode_input
from operators import rows
from operators.busy_share import BusyShare
from operators.code_digest import require_submitted_code
from operators.interpreter import give_way, keep_out_of_garbage_collection
from operators.publisher import Publisher
from operators.shedding import Shedding
from operators.snapshot_files import SnapshotFiles
from operators.start_tower import load_start_tower
from operators.unrecoverable import suppress_restarts
from operators.wall_clock import wall_clock_ms

LOG = logging.getLogger(__name__)
TICK_MS = 250
"""While there is something to close or publish, a timer looks this often …"""
IDLE_TICK_MS = 1_000
"""… and else so often, so that a restored tower, whose timer comes back with its state, publishes at once."""

PURGE_WAIT_MS = 1_000
"""An erased user's examples leave the log with a write of the tower; many erasures in a row share one."""

COUNTED = (
    "shed_batches",
    "shed_negatives",
    "shed_replay",
    "shed_sampled",
    "untrained_batches",
    "skipped_batches",
    "clipped_rows",
)
"""Counters that the stream of inputs keeps."""


class TrainItemTower(KeyedProcessFunction):
    """Input: rows.TOWER_INPUT. Output: rows.EMISSION.

    Counters:
        examples               events that came from learn-and-recommend
        items                  catalogue records
        erasures               users that were erased: their examples leave window and log
        shed_batches           mini-batches trained with less, since the tower is behind
        shed_negatives         … of which with fewer negatives, and all else
        shed_replay            … of which without replays, and with fewer negatives
        shed_sampled           examples that were only counted as popular, since the tower is far behind
        untrained_batches      mini-batches counted and not trained, while training was suspended (a test does that)
        skipped_batches        mini-batches whose gradient was not finite
        clipped_rows           rows whose gradient or vector was shortened (tower.gradient_max, tower.norm_max)
        refreshes              commands full_refresh that were carried out
        rollbacks              commands rollback that were carried out
        command_failed         commands that changed nothing, such as a rollback to a file that is gone
        snapshots_full         full item snapshots that were announced
        snapshots_delta        snapshots of the rows that changed
        snapshots_popularity   updates of counts, weights and new items
        snapshots_withheld     vectors that the gate did not let pass (log code LT-GATE-1)
        snapshot_write_failed  attempts to write a snapshot file that failed; tried again every second
        rejected               items and commands that went to the topic `rejected`
    """

    def __init__(
        self,
        model: ModelSettings,
        tower: TowerSettings,
        *,
        snapshot_root: str,
        code_digest: str,
        start_tower: str = "",
        job_settings: str = "",
    ) -> None:
        self._job_settings = job_settings
        self._start_tower = start_tower
        self._model = model
        self._settings = tower
        self._snapshot_root = snapshot_root
        self._code_digest = code_digest

    def open(self, runtime_context: RuntimeContext) -> None:
        """Compile the kernels before the first input. State is not read here: with no key set it answers wrongly."""
        import torch

        require_submitted_code(self._code_digest, runtime_context)
        self._context = runtime_context
        torch.set_num_threads(1)
        give_way()
        blob = Types.PICKLED_BYTE_ARRAY
        self._log = runtime_context.get_map_state(MapStateDescriptor("log", Types.LONG(), blob()))
        self._blocks = runtime_context.get_map_state(MapStateDescriptor("blocks", Types.LONG(), blob()))
        self._catalogue = runtime_context.get_map_state(MapStateDescriptor("catalogue", Types.LONG(), blob()))
        self._progress = runtime_context.get_state(ValueStateDescriptor("progress", blob()))
        metrics = runtime_context.get_metrics_group()
        self._examples, self._items = metrics.counter("examples"), metrics.counter("items")
        self._erasures = metrics.counter("erasures")
        self._counted = {name: metrics.counter(name) for name in COUNTED}
        self._rejected = metrics.counter("rejected")
        self._refreshes, self._rollbacks = metrics.counter("refreshes"), metrics.counter("rollbacks")
        self._command_failed = metrics.counter("command_failed")
        self._files = SnapshotFiles(self._snapshot_root)
        self._publisher = Publisher(self._files, self._settings, metrics)
        self._busy, self._shedding = BusyShare(), Shedding(self._settings.behind_s)
        self._stream: TowerStream | None = None
        self._written = 0  # number of the input at which state was last written
        self._unfinished_since_ms = 0
        self._erased_since_ms = 0
        self._timer_ms = 0
        self._told = json.loads(self._job_settings) if self._job_settings else None
        compile_tower(self._model, self._settings)
        keep_out_of_garbage_collection()

    def process_element(self, value: Row, ctx: KeyedProcessFunction.Context) -> Iterator[Row]:
        """Learn from one example or item, or obey a command, and publish what is due."""
        began_ns = time.perf_counter_ns()
        stream = self._stream or self._restore()
        kind, key, payload, topic, partition, offset = value
        now_ms = wall_clock_ms()
        if kind == rows.EXAMPLE and payload == rows.WAKE:
            pass
        elif kind == rows.EXAMPLE and is_erasure(payload):
            self._erasures.inc()
            self._erased_since_ms = self._erased_since_ms if stream.erased else now_ms
            self._accept(stream, TowerInput(InputKind.ERASURE, payload), now_ms)
        elif kind == rows.EXAMPLE:
            self._examples.inc()
            shed = self._shed(now_ms - kafka_ms_of_example(payload), now_ms)
            self._accept(stream, TowerInput(InputKind.EXAMPLE, payload, shed), now_ms)
        else:
            try:
                if kind == rows.COMMAND:
                    command = parse_command(payload, max_bytes=self._model.max_record_bytes)
                    yield from self._publisher.publish_due(stream, now_ms)  # a restored tower's first: what is in use
                    self._obey(stream, command, now_ms)
                else:
                    item = parse_item(key, payload, max_bytes=self._model.max_record_bytes)
                    self._items.inc()
                    self._accept(stream, TowerInput(InputKind.ITEM, encode_item(item)), now_ms)
            except InvalidRecord as error:
                self._rejected.inc()
                yield rows.rejected(key, payload, error.reason, str(error), topic, partition, offset)
        self._purge_due(stream, now_ms)
        yield from self._publisher.publish_due(stream, now_ms)
        self._wake_later(ctx, now_ms)
        self._busy.add(began_ns, time.perf_counter_ns())

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterator[Row]:
        """Close a batch that has waited too long, and publish what is due."""
        stream = self._stream or self._restore()
        now_ms = wall_clock_ms()
        if timestamp >= self._timer_ms:
            self._timer_ms = 0  # none is set: not one later either, if the clock was set back meanwhile
        if stream.unfinished and now_ms - self._unfinished_since_ms >= 1_000 * self._settings.batch_wait_s:
            self._accept(stream, TowerInput(InputKind.BORDER, b"", self._shed(0, now_ms)), now_ms)
        self._purge_due(stream, now_ms)
        yield from self._publisher.publish_due(stream, now_ms)
        self._wake_later(ctx, now_ms)

    def _accept(self, stream: TowerStream, tower_input: TowerInput, now_ms: int) -> None:
        """Take an input in and log it: the log is in state before the next checkpoint barrier can pass."""
        before = counted(stream)
        if not stream.unfinished:
            self._unfinished_since_ms = now_ms
        stream.accept(tower_input)
        self._log.put(log_place(stream.number), encode_input(stream.number, tower_input))
        for name, number in counted(stream).items():
            if number > before[name]:
                self._counted[name].inc(number - before[name])
        if stream.number - self._written >= WRITE_INPUTS - self._settings.batch:
            if not stream.unfinished:
                self._write(stream)
            elif stream.number - self._written >= WRITE_INPUTS - 1:
                self._accept(stream, TowerInput(InputKind.BORDER, b"", tower_input.shed), now_ms)

    def _purge_due(self, stream: TowerStream, now_ms: int) -> None:
        """Write the tower, and so take erased users out of the log, once the first of them has waited long enough."""
        if not stream.erased or now_ms - self._erased_since_ms < PURGE_WAIT_MS:
            return
        if stream.unfinished:
            self._accept(stream, TowerInput(InputKind.BORDER, b"", self._shed(0, now_ms)), now_ms)
        self._write(stream)

    def _obey(self, stream: TowerStream, command: Command, now_ms: int) -> None:
        """Do what a command says and write the whole tower; publishing sees the new epoch by itself."""
        if command.kind is CommandKind.FULL_REFRESH:
            self._accept(stream, TowerInput(InputKind.COMMAND, encode_command(command)), now_ms)
            self._refreshes.inc()
        else:
            try:
                self._roll_back(stream, command, now_ms)
            except (OSError, InvalidSnapshot, ValueError) as error:
                self._command_failed.inc()
                LOG.warning("command %r: no rollback, nothing has changed: %s", command.command_id, error)
                return
            self._rollbacks.inc()
        self._write(stream)
        LOG.info("command %r: %s done, epoch %d begins", command.command_id, command.kind, stream.epoch)

    def _roll_back(self, stream: TowerStream, command: Command, now_ms: int) -> None:
        """Raises OSError, InvalidSnapshot or ValueError, before anything changes, if there is no such snapshot."""
        name = self._publisher.earlier_full(command.to)
        snapshot = decode_snapshot(self._files.read_by_name(name))
        stream.tower.require_shape(snapshot)
        if stream.unfinished:
            self._accept(stream, TowerInput(InputKind.BORDER, b"", self._shed(0, now_ms)), now_ms)
        stream.roll_back(snapshot)
        self._publisher.rolled_back_to = name

    def _shed(self, age_ms: int, now_ms: int) -> Shed:
        """What to do without when an example of this age arrives."""
        if self._settings.suspend_file and Path(self._settings.suspend_file).exists():
            return Shed.TRAINING
        return self._shedding.level(age_ms, self._busy.share, now_ms)

    def _write(self, stream: TowerStream) -> None:
        """Bring blocks, catalogue and progress to where the stream stands; it has no unfinished batch."""
        tower = stream.tower
        for block in begin_write(stream):
            self._blocks.put(block, tower.rows.encode_block(block))
        tower.rows.dirty[:] = False
        for key in tower.changed_entries:
            entry = encode_entry(stream, key)
            if entry is not None:
                self._catalogue.put(key, entry)
            elif self._catalogue.contains(key):
                self._catalogue.remove(key)
        tower.changed_entries.clear()
        self._progress.update(encode_progress(stream, self._told))
        self._written = stream.number
        purge_log(stream, self._log.get, self._log.remove)

    def _restore(self) -> TowerStream:
        """The tower as the last checkpoint left it, else the one of `start_tower`, else a new one; from here on state
        tells the settings of this job.

        A start tower is written to state before the first input, so that no restore needs its file again.
        """
        stream = TowerStream(self._model, self._settings)
        progress = self._progress.value()
        try:
            if progress is None and self._start_tower and self._log.get(log_place(1)) is None:
                stream = load_start_tower(self._start_tower, self._model, self._settings)
                LOG.info(
                    "tower begins with %d items and %d parameters from %s",
                    stream.tower.n_items,
                    stream.tower.n_parameters,
                    self._start_tower,
                )
                self._write(stream)
            elif progress is None and self._told is not None:
                self._progress.update(encode_progress(stream, self._told))
            if progress is not None:
                restore_tower(stream, progress, self._blocks.get, self._catalogue.items())
                if self._told is not None:
                    self._progress.update(with_job_settings(progress, self._told))
            self._written = stream.number
            redone = redo_log(stream, self._log.get)
        except (InvalidProgress, InvalidBlock, InvalidInput, InvalidExample, InvalidErasure, InvalidArtefact) as error:
            suppress_restarts(self._context, error)
            raise
        stream.watch = self._publisher.gate.watch
        self._stream = stream
        self._unfinished_since_ms = wall_clock_ms()  # a restart is no reason to close a batch early
        if stream.number:
            LOG.info("tower restored at input %d, of which %d were learned again from the log", stream.number, redone)
        return stream

    def _wake_later(self, ctx: KeyedProcessFunction.Context, now_ms: int) -> None:
        """Keep a timer: soon while a batch is unfinished or something is unpublished."""
        stream = self._stream
        busy = stream is not None and (stream.unfinished or stream.erased or self._publisher.owes(stream))
        wait_ms = TICK_MS if busy else IDLE_TICK_MS
        if not now_ms < self._timer_ms <= now_ms + wait_ms:
            self._timer_ms = now_ms + wait_ms
            ctx.timer_service().register_processing_time_timer(self._timer_ms)


def counted(stream: TowerStream) -> dict[str, int]:
    """The numbers of COUNTED so far."""
    of_tower = {name: getattr(stream.tower, name) for name in ("skipped_batches", "clipped_rows")}
    return {name: of_tower[name] if name in of_tower else getattr(stream, name) for name in COUNTED}
