"""What can be set about the model: the user side (`ModelSettings`) and the item tower (`TowerSettings`).

Both are frozen, checked when made, and carried inside the job; where they are read from is `flink_jobs/settings.py`'s
business. Defaults are the recipe chosen by prequential NDCG@10 on the first 40% of MovieLens-100k and checked on other
streams.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from models.strategies import Strategy

LOSSES: Final = ("softmax", "bce", "mse")
OPTIMIZERS: Final = ("sgd", "adagrad", "adam")
"""Their places are their codes in kernels and in state."""
EVENT_WEIGHTS: Final = {
    "view": 1.0,
    "click": 1.0,
    "like": 1.0,
    "purchase": 1.0,
    "rating": 1.0,
    "dislike": -1.0,
    "skip": -0.5,
}

REPLAY_WINDOW_MAX: Final = 24_000
"""A longer window could not be refilled after a restore: the log of inputs (tower_state.py) reaches back no further."""

NUMBER_SCALES: Final = ("standardise", "minmax", "buckets")


def require(condition: bool, name: str, needed: str, came: object) -> None:
    """Raise a ValueError that names the setting, what it must be and what it is."""
    if not condition:
        raise ValueError(f"setting {name}: must be {needed}; got {came!r}")


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """The user side: what a user's state keeps, how it learns and what a list holds."""

    dimension: int = 64
    """k, the length of user and item embeddings."""
    recent_items: int = 20
    """L, how many latest items make up a user's context."""
    rho: float = 0.7
    """Weight of the l-th latest item is rho^(l-1)."""
    tau_s: float = 3600.0
    """Recent items also fade with exp(-gap / tau_s); 0 turns this off. Set it to the length of a session in your
    domain.
    """
    loss: str = "softmax"
    """What both sides learn by: `softmax` (sampled), `bce` (binary cross-entropy) or `mse` (squared error on ratings).
    """
    optimizer: str = "adagrad"
    """How both sides step: `sgd`, `adagrad` (one accumulator a row) or `adam`. After a change vectors stay and moments
    start anew.
    """
    learning_rate: float = 0.05
    """AdaGrad step of the user embedding."""
    learning_rate_sgd: float = 0.1
    """SGD step of the user embedding."""
    learning_rate_adam: float = 0.02
    """Adam step of the user embedding."""
    event_weights: Mapping[str, float] = field(default_factory=lambda: dict(EVENT_WEIGHTS))
    """What an event of a type teaches: its sign is the label, its size the weight, 0 is not learned. Types that are not
    named keep their defaults.
    """
    regularisation: float = 0.001
    """L2 weight on the user embedding."""
    negatives: int = 100
    """S, unconsumed items sampled for one step of the user embedding."""
    seed: int = 0
    """Seed of the counter hash from which negatives are drawn."""
    top_k: int = 10
    """Length of a recommendation."""
    strategy: str = "hybrid"
    """How a list is made unless its event says otherwise: hybrid, collaborative, content, model or popular."""
    exploration: float = 0.0
    """An item that nobody has met yet scores so much higher, one with n events 1 / sqrt(1 + n) of that; 0: off."""
    emit: str = "always"
    """Which lists are sent: always all, or with `changed` only answers to requests and lists that differ in items or
    order from the user's last.
    """
    category_cap: int = 0
    """Most items of one category in a list; 0: as many as come."""
    exclude_consumed: str = "always"
    """Whether a list leaves out what the user has consumed: always, never, or for a number of days, as "30"."""
    profile_weight: float = 1.0
    """How much a declared profile moves the embedding of a user without events."""
    consumed_max: int = 1024
    """Newest consumed items a user's state keeps; older ones may be recommended again (and are counted)."""
    dedup_max: int = 32
    """Latest event ids a user's state keeps to recognise a repeated event."""
    user_ttl_days: float = 180.0
    """A user's state dies this long (processing time) after the last accepted event; 0 keeps it for ever."""
    user_events_per_minute: int = 0
    """Positive events of a user that teach in a minute, measured over the latest `recent_items` if it is more; what
    comes beyond is consumed and counted (`capped`), and nothing is learned from it. 0 learns from all.
    """
    bot_events_per_hour: int = 0
    """A user whose latest `recent_items` positive events came at more than this rate teaches nothing until it is quiet
    again (`capped`); 0 trusts everybody.
    """
    gradient_max: float = 0.0
    """Longest gradient of a user's step; a longer one is shortened and counted (`clipped`). 0 takes any."""
    norm_max: float = 0.0
    """Longest user embedding, as `gradient_max`."""
    emit_apart_ms: int = 0
    """While an event has waited longer than `behind_ms`, its user's lists are sent at least so far apart, and counted
    instead (`overload_unsent`); learning is never skipped and a request is always answered. 0 sends all.
    """
    behind_ms: int = 1000
    """See `emit_apart_ms`: how long, from its Kafka timestamp until it was learned."""
    internal_error_max_per_minute: int = 0
    """More events than this that fail by our own bug, in a minute and in one subtask, end the job; 0 never does."""
    future_tolerance_s: int = 300
    """An event_time_ms further than this beyond the Kafka timestamp is rejected."""
    max_record_bytes: int = 65_536
    """Longest value of an incoming record; longer ones are rejected."""

    def __post_init__(self) -> None:
        require(1 <= self.dimension <= 1024, "model.dimension", "in [1, 1024]", self.dimension)
        require(1 <= self.recent_items <= 255, "model.recent_items", "in [1, 255]", self.recent_items)
        require(0 < self.rho <= 1, "model.rho", "in (0, 1]", self.rho)
        require(self.tau_s >= 0, "model.tau_s", "0 (off) or more seconds", self.tau_s)
        require(self.loss in LOSSES, "model.loss", f"one of {', '.join(LOSSES)}", self.loss)
        require(self.optimizer in OPTIMIZERS, "model.optimizer", f"one of {', '.join(OPTIMIZERS)}", self.optimizer)
        for name in ("learning_rate", "learning_rate_sgd", "learning_rate_adam"):
            require(getattr(self, name) >= 0, f"model.{name}", "0 or more", getattr(self, name))
        for name, weight in self.event_weights.items():
            require(name in EVENT_WEIGHTS, "model.event_weights", f"of {', '.join(EVENT_WEIGHTS)}", name)
            require(-100 <= weight <= 100, f"model.event_weights.{name}", "in [-100, 100]", weight)
        object.__setattr__(self, "event_weights", EVENT_WEIGHTS | dict(self.event_weights))
        require(self.regularisation >= 0, "model.regularisation", "0 or more", self.regularisation)
        require(1 <= self.negatives <= 10_000, "model.negatives", "in [1, 10000]", self.negatives)
        require(0 <= self.seed < 2**63, "model.seed", "in [0, 2^63)", self.seed)
        require(1 <= self.top_k <= 255, "model.top_k", "in [1, 255]", self.top_k)
        require(1 <= self.consumed_max <= 65_535, "model.consumed_max", "in [1, 65535]", self.consumed_max)
        require(0 <= self.dedup_max <= 65_535, "model.dedup_max", "in [0, 65535]", self.dedup_max)
        require(self.strategy in tuple(Strategy), "model.strategy", f"one of {', '.join(Strategy)}", self.strategy)
        require(self.exploration >= 0, "model.exploration", "0 or more", self.exploration)
        require(self.emit in ("always", "changed"), "model.emit", "always or changed", self.emit)
        require(0 <= self.category_cap <= 255, "model.category_cap", "in [0, 255]", self.category_cap)
        days = self.exclude_consumed
        known = days in ("always", "never") or (days.isdecimal() and 0 < int(days) <= 36_500)
        require(known, "model.exclude_consumed", "always, never or a number of days in [1, 36500]", days)
        require(self.profile_weight >= 0, "model.profile_weight", "0 or more", self.profile_weight)
        require(self.user_ttl_days >= 0, "model.user_ttl_days", "0 (for ever) or more days", self.user_ttl_days)
        for name in ("user_events_per_minute", "bot_events_per_hour"):
            require(0 <= getattr(self, name) <= 10**6, f"model.{name}", "in [0, 1000000]", getattr(self, name))
        for name in ("gradient_max", "norm_max"):
            require(getattr(self, name) >= 0, f"model.{name}", "0 (any) or more", getattr(self, name))
        for name in ("emit_apart_ms", "behind_ms", "internal_error_max_per_minute"):
            require(0 <= getattr(self, name) <= 86_400_000, f"model.{name}", "in [0, 86400000]", getattr(self, name))
        require(self.future_tolerance_s >= 0, "model.future_tolerance_s", "0 or more seconds", self.future_tolerance_s)
        require(
            256 <= self.max_record_bytes <= 16 * 2**20,
            "model.max_record_bytes",
            "in [256, 16 MiB]",
            self.max_record_bytes,
        )

    @property
    def consumed_days(self) -> int | None:
        """For how many days a consumed item is left out; None: for ever."""
        if self.exclude_consumed == "always":
            return None
        return 0 if self.exclude_consumed == "never" else int(self.exclude_consumed)

    def is_positive(self, event_type: str) -> bool:
        """Whether such an event says that the user wants the item."""
        return self.event_weights.get(event_type, 0.0) > 0

    @property
    def rate(self) -> float:
        """Step of the user embedding under the optimiser that is set."""
        if self.optimizer == "adagrad":
            return self.learning_rate
        return self.learning_rate_adam if self.optimizer == "adam" else self.learning_rate_sgd


@dataclass(frozen=True, slots=True)
class TowerSettings:
    """The item tower: how it trains, what it admits and how often it publishes."""

    learning_rate: float = 0.15
    """AdaGrad step of item embeddings (one accumulator a row)."""
    learning_rate_bias: float = 0.1
    """AdaGrad step of item biases."""
    learning_rate_sgd: float = 0.05
    """SGD step of item embeddings."""
    learning_rate_bias_sgd: float = 0.01
    """SGD step of item biases."""
    learning_rate_adam: float = 0.01
    """Adam step of item embeddings."""
    learning_rate_bias_adam: float = 0.01
    """Adam step of item biases."""
    learning_rate_popularity: float = 0.02
    """AdaGrad step of alpha (weights of the popularities), beta (of the neighbours) and gamma (scale of the taste), all
    one each per activity class.
    """
    regularisation: float = 0.001
    """L2 weight on the rows a batch touches."""
    gradient_max: float = 0.0
    """Longest gradient of an item's vector in a batch; a longer one is shortened and counted (`clipped_rows`). 0 takes
    any.
    """
    norm_max: float = 0.0
    """Longest vector of an item that events have moved, as `gradient_max`."""
    negatives: int = 100
    """S, unconsumed items sampled for one example."""
    negatives_when_behind: int = 25
    """S while examples arrive older than `behind_s`: a quarter of the work for a fiftieth of the quality."""
    behind_s: float = 1.0
    """Age of an example, against its Kafka timestamp, from which on the tower sheds work."""
    batch: int = 32
    """New examples in a mini-batch …"""
    batch_wait_s: float = 1.0
    """… which is closed with fewer when it has waited this long for more."""
    suspend_file: str = ""
    """For tests: while this file exists on the tower's machine, batches are counted but not trained."""
    replays: int = 1
    """Old examples trained beside each new one."""
    replay_window: int = 20_000
    """Latest examples from which replays are drawn."""
    half_lives: tuple[float, ...] = (50.0, 200.0, 2_000.0, 20_000.0, 1e7)
    """Popularities: counts that halve every so many positive events."""
    popularity_floor: float = 0.01
    """Added to a count inside the logarithm."""
    cold_popularity: float = 3.0
    """An item with features and fewer than `cold_events` events is shown as if it also had this many times the mean
    item's count, so that it is seen; content decides which of them surfaces.
    """
    cold_events: int = 5
    """Events from which on an item stands on its own count."""
    neighbours: int = 50
    """Closest items kept of each item for the score's part of that name, 400 bytes a row; 0 turns it off."""
    neighbour_shrink: float = 50.0
    """Counts of this size are halved: neighbours of rare items are uncertain."""
    admission_events: int = 3
    """An id that the catalogue does not know gets a row after this many events; 1 admits it at its first …"""
    admission_users: int = 2
    """… of at least this many users, 1 or 2."""
    admission_waiting_max: int = 100_000
    """Ids that wait for admission at most; the one that met no event for longest gives way."""
    max_items: int = 1_000_000
    """Rows at most; then the hundredth of items whose last event is longest ago gives way, those without any first."""
    content_columns: int = 256
    """Categories and tags the content tower tells apart; the first column stands for all beyond them."""
    content_numbers: str = "buckets"
    """How it reads a number: standardise, minmax, or buckets (eight quantiles, an embedding each)."""
    content_text_columns: int = 0
    """Length of the vector that title and text become (hashed words and n-grams); 0 leaves them unread."""
    content_text_buckets: int = 2_048
    """Rows of the EmbeddingBag of that text."""
    content_vector_columns: int = 32
    """Columns that each of up to four named vectors is projected to."""
    content_depth: int = 0
    """Hidden layers of the content tower; 0 is a ridge regression in closed form."""
    content_width: int = 64
    """Units of a hidden layer."""
    content_steps: int = 50
    """Adam steps on at most 128 warm items each, at every fit; with hidden layers only."""
    content_learning_rate: float = 0.003
    """Adam's step; with hidden layers only."""
    content_warm_events: int = 20
    """Items with at least this many events teach the content tower."""
    content_warm_items: int = 4_096
    """… of which it is fitted to at most this many, those with the most events."""
    content_ridge: float = 10.0
    """Ridge of the closed form."""
    content_every: int = 2_000
    """Examples between two fits of the content tower."""
    snapshot_examples: int = 2_000
    """Examples between two snapshots of vectors, full or delta …"""
    snapshot_interval_s: float = 5.0
    """… or this many seconds, whichever comes first."""
    snapshot_apart_s: float = 0.4
    """Snapshots of vectors are at least so far apart, while the stream is young and when rows are renumbered often."""
    deltas_per_full: int = 8
    """Deltas after a full snapshot at most; the next snapshot of vectors is full again. 0 sends no deltas."""
    delta_share_max: float = 0.5
    """A delta of more than this share of a full snapshot's bytes is not worth its chain: a full one is sent."""
    popularity_examples: int = 500
    """Examples between two popularity announcements …"""
    popularity_interval_s: float = 1.0
    """… or this many seconds, whichever comes first."""
    gate_margin: float = 3.0
    """Vectors that rank the newest examples worse than the published ones, by more than this many standard errors, are
    not published; 0 publishes all.
    """
    refresh_passes: int = 3
    """How often the command full_refresh learns the replay window, each time in another order."""
    snapshot_keep: int = 20
    """Files of each kind of snapshot kept at least …"""
    snapshot_keep_h: float = 0.25
    """… and for at least this many hours. Checkpoints you mean to restore must not be older."""
    seed: int = 0
    """Seed of first embeddings, negatives and replays, and of the content tower."""

    def __post_init__(self) -> None:
        for name in (
            "learning_rate",
            "learning_rate_bias",
            "learning_rate_sgd",
            "learning_rate_bias_sgd",
            "learning_rate_adam",
            "learning_rate_bias_adam",
            "learning_rate_popularity",
            "regularisation",
            "gradient_max",
            "norm_max",
            "behind_s",
            "batch_wait_s",
            "snapshot_apart_s",
            "gate_margin",
            "cold_popularity",
            "snapshot_keep_h",
        ):
            require(getattr(self, name) >= 0, f"tower.{name}", "0 or more", getattr(self, name))
        for name in (
            "negatives",
            "negatives_when_behind",
            "batch",
            "admission_events",
            "content_columns",
            "content_text_buckets",
            "content_vector_columns",
            "content_width",
            "content_steps",
            "content_warm_events",
            "content_warm_items",
            "content_every",
            "snapshot_examples",
            "refresh_passes",
            "popularity_examples",
            "snapshot_keep",
            "admission_waiting_max",
        ):
            require(getattr(self, name) >= 1, f"tower.{name}", "1 or more", getattr(self, name))
        require(
            1 <= self.replay_window <= REPLAY_WINDOW_MAX,
            "tower.replay_window",
            f"in [1, {REPLAY_WINDOW_MAX}]",
            self.replay_window,
        )
        require(
            self.content_numbers in NUMBER_SCALES,
            "tower.content_numbers",
            f"one of {', '.join(NUMBER_SCALES)}",
            self.content_numbers,
        )
        require(
            0 <= self.content_text_columns <= 256,
            "tower.content_text_columns",
            "in [0, 256]",
            self.content_text_columns,
        )
        require(0 <= self.content_depth <= 8, "tower.content_depth", "in [0, 8]", self.content_depth)
        require(self.content_learning_rate > 0, "tower.content_learning_rate", "positive", self.content_learning_rate)
        require(0 <= self.neighbours <= 255, "tower.neighbours", "in [0, 255]", self.neighbours)
        require(self.neighbour_shrink >= 0, "tower.neighbour_shrink", "0 or more", self.neighbour_shrink)
        require(0 <= self.deltas_per_full <= 64, "tower.deltas_per_full", "in [0, 64]", self.deltas_per_full)
        require(0 <= self.delta_share_max <= 1, "tower.delta_share_max", "in [0, 1]", self.delta_share_max)
        require(self.content_ridge > 0, "tower.content_ridge", "positive", self.content_ridge)
        require(self.admission_users in (1, 2), "tower.admission_users", "1 or 2", self.admission_users)
        require(self.max_items >= 100, "tower.max_items", "100 or more", self.max_items)
        require(0 <= self.replays <= 8, "tower.replays", "in [0, 8]", self.replays)
        require(self.cold_events >= 0, "tower.cold_events", "0 or more", self.cold_events)
        require(1 <= len(self.half_lives) <= 16, "tower.half_lives", "1 to 16 numbers", self.half_lives)
        require(all(h > 0 for h in self.half_lives), "tower.half_lives", "positive", self.half_lives)
        require(self.popularity_floor > 0, "tower.popularity_floor", "positive", self.popularity_floor)
        require(self.snapshot_interval_s > 0, "tower.snapshot_interval_s", "positive", self.snapshot_interval_s)
        require(self.popularity_interval_s > 0, "tower.popularity_interval_s", "positive", self.popularity_interval_s)
        require(0 <= self.seed < 2**63, "tower.seed", "in [0, 2^63)", self.seed)

    def rates(self, optimizer: str) -> tuple[float, float]:
        """Steps of vectors and of biases under this optimiser."""
        return {
            "sgd": (self.learning_rate_sgd, self.learning_rate_bias_sgd),
            "adagrad": (self.learning_rate, self.learning_rate_bias),
            "adam": (self.learning_rate_adam, self.learning_rate_bias_adam),
        }[optimizer]
