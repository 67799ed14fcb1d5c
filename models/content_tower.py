"""From an item's features to its vector and bias: the content tower, fitted to the rows of items that are well known.

    f = [names, numbers, text, vectors]                   (D,) of one item, what it does not say adds nothing
    names     sum of the columns of its category and tags
    numbers   standardise: [(v - mean) / deviation cut at 4, 1];  minmax: [(v - middle) / half range cut at 1, 1];
              buckets: the column of its eighth of the values
    text      mean of the EmbeddingBag's rows of its n-grams
    vectors   v / |v| times a matrix of N(0, 1/columns), one for each name (Johnson and Lindenstrauss 1984)

    depth 0   [vector, bias] = mean + f W                 W by ridge regression (ridge.py); bag and matrices stay random
    depth d   [vector, bias] = mean + spread * (W_d relu(... relu(f W_1 + b_1)) + b_d)        all trained with Adam
              (Kingma and Ba 2015) on the squared error, `content_steps` steps from where the last fit ended

A row of W, or of W_1, is the embedding of its name, bucket or column. With hidden layers each fit starts Adam's moments
anew and draws its batches from (seed, fits so far), so the same rows give the same tower. Neither costs the training
step anything.

The closed form and buckets are the default. `livetower evaluate movielens-100k --launch`: cold items reach the top 50
at .193 of their events and .121 of their first ones, for .3% of everybody's NDCG@10; with one hidden layer
(`--set tower.content_depth=1`) at .207 and .173, for 1.6%. A line through a number extends to where no item was.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.features import SLOTS_MAX, Encoded, FeatureSpace, Indices, SlotVectors
from models.hashing import hash_id, stream_of
from models.learning import Floats, Ints
from models.number_statistics import NUMBERS_MAX
from models.ridge import fit_ridge
from models.settings import TowerSettings

BUCKETS: Final = 8
NUMBER_CUT: Final = 4.0
FIT_BATCH: Final = 128
PADDED_TO: Final = 64
DECAY: Final = 1e-3
"""Adam's L2 weight on the parameters."""


class ContentTower(nn.Module):
    """`first` (D, width) is W or W_1; `layers` what follows, none at depth 0, where width is k + 1."""

    number_centre: Tensor  # (NUMBERS_MAX,) frozen at a fit, as are the next three
    number_scale: Tensor  # (NUMBERS_MAX,)
    number_gates: Tensor  # (NUMBERS_MAX, 2)
    number_edges: Tensor  # (NUMBERS_MAX, BUCKETS - 1)
    mean: Tensor  # (k + 1,)
    spread: Tensor  # (k + 1,)

    def __init__(self, dimension: int, settings: TowerSettings) -> None:
        super().__init__()
        self.settings = settings
        self.space = FeatureSpace(settings)
        self.fits = 0
        self.per_number = BUCKETS if settings.content_numbers == "buckets" else 2
        sizes = (
            settings.content_columns,
            NUMBERS_MAX * self.per_number,
            settings.content_text_columns,
            SLOTS_MAX * settings.content_vector_columns,
        )
        self.ends = np.cumsum(sizes).tolist()  # where names, numbers, text and vectors end in f
        depth, n_out = settings.content_depth, dimension + 1
        width = settings.content_width if depth else n_out
        generator = torch.Generator().manual_seed(settings.seed % 2**63)
        self.first = nn.Parameter(torch.zeros(self.ends[-1], width), requires_grad=depth > 0)
        self.layers = nn.ModuleList()
        if depth:
            nn.init.normal_(self.first, std=width**-0.5, generator=generator)
            self.first_bias = nn.Parameter(torch.zeros(width))
            self.layers.extend(
                seeded_linear(width, n_out if last else width, generator) for last in [False] * (depth - 1) + [True]
            )
        if settings.content_text_columns:
            columns = settings.content_text_columns
            bag = torch.empty(settings.content_text_buckets, columns)
            nn.init.normal_(bag, std=columns**-0.5, generator=generator)
            self.bag = nn.EmbeddingBag.from_pretrained(bag, freeze=depth == 0, mode="mean")
        self.projections = nn.ParameterDict()
        self.register_buffer("number_centre", torch.zeros(NUMBERS_MAX, dtype=torch.float64))
        self.register_buffer("number_scale", torch.ones(NUMBERS_MAX, dtype=torch.float64))
        self.register_buffer("number_gates", torch.zeros(NUMBERS_MAX, 2, dtype=torch.float64))
        self.register_buffer("number_edges", torch.zeros(NUMBERS_MAX, BUCKETS - 1, dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(n_out))
        self.register_buffer("spread", torch.ones(n_out))

    @property
    def fitted(self) -> bool:
        """Whether it has learned from any item yet."""
        return self.fits > 0

    @property
    def n_parameters(self) -> int:
        """Numbers that a fit sets or a projection holds."""
        return sum(parameter.numel() for parameter in self.parameters()) + self.mean.numel()

    def forward(self, encoded: Encoded) -> Tensor:
        """Vectors and biases (n,k+1) float32."""
        hidden = self._first_layer(encoded)
        for layer in self.layers:
            hidden = layer(functional.relu(hidden))
        return self.mean + self.spread * hidden

    @torch.no_grad()
    def predict(self, encoded: Encoded) -> Floats:
        """`forward` without a graph: vectors and biases (n,k+1).

        PADDED_TO items at a time: a product of matrices of one shape gives an item the same bits among all others.
        """
        n = len(encoded.names)
        predicted = np.empty((n, len(self.mean)), np.float32)
        for begin in range(0, n, PADDED_TO):
            some = taken(encoded, np.arange(begin, min(n, begin + PADDED_TO)))
            m = len(some.names)
            predicted[begin : begin + m] = self(padded(some, PADDED_TO - m)).numpy()[:m]
        return predicted

    # ---- fitting ---------------------------------------------------------------------------------

    def fit(self, encoded: Encoded, targets: Floats) -> None:
        """Fit to n warm items; targets (n,k+1) are their vectors and biases."""
        self._freeze_numbers()
        self.project_known_vectors()
        y = torch.from_numpy(targets)
        if self.settings.content_depth == 0:
            weights, intercept = fit_ridge(self.design(encoded), y, self.settings.content_ridge)
            self.first.data.copy_(weights)
            self.mean.copy_(intercept)
        else:
            self._step_with_adam(encoded, y)
        self.fits += 1

    def _step_with_adam(self, encoded: Encoded, y: Tensor) -> None:
        self.mean.copy_(y.mean(0))
        self.spread.copy_(y.std(0, correction=0).clamp_min(1e-6))
        goal = (y - self.mean) / self.spread
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        adam = Adam(trained, self.settings.content_learning_rate, DECAY)
        draws = np.random.default_rng([self.settings.seed, self.fits])
        with torch.enable_grad():
            for _ in range(self.settings.content_steps):
                drawn = np.sort(draws.choice(len(y), min(len(y), FIT_BATCH), replace=False))
                predicted = (self(taken(encoded, drawn)) - self.mean) / self.spread
                loss = functional.mse_loss(predicted, goal[torch.from_numpy(drawn)])
                adam.step(torch.autograd.grad(loss, trained, materialize_grads=True))

    def _freeze_numbers(self) -> None:
        """Read numbers from now on as the statistics stand."""
        statistics = self.space.statistics
        standardise = self.settings.content_numbers == "standardise"
        centre, scale = statistics.mean_and_deviation() if standardise else statistics.middle_and_half_range()
        self.number_centre.copy_(torch.from_numpy(centre))
        self.number_scale.copy_(torch.from_numpy(scale))
        self.number_gates.copy_(torch.from_numpy(statistics.gates))
        if self.settings.content_numbers == "buckets":
            self.number_edges.copy_(torch.from_numpy(statistics.edges(BUCKETS)))

    def project_known_vectors(self) -> None:
        """Give each named vector its matrix (length, columns), a function of name and seed."""
        columns = self.settings.content_vector_columns
        for name, slot in self.space.vectors.items():
            if str(slot.number) not in self.projections:
                seed = stream_of(self.settings.seed, hash_id(name), slot.length)
                draws = np.random.default_rng(seed % 2**63).normal(0, columns**-0.5, (slot.length, columns))
                matrix = torch.from_numpy(draws.astype(np.float32))
                self.projections[str(slot.number)] = nn.Parameter(matrix, self.settings.content_depth > 0)

    # ---- features to columns ---------------------------------------------------------------------

    def design(self, encoded: Encoded) -> Tensor:
        """f (n,D) of n items, dense; `_first_layer` does without."""
        names = torch.zeros(len(encoded.names), self.ends[0])
        item, place = np.nonzero(encoded.names >= 0)
        index = torch.from_numpy(encoded.names[item, place].astype(np.int64))
        names.index_put_((torch.from_numpy(item), index), torch.ones(len(item)), accumulate=True)
        parts = [names, self._numbers(encoded.numbers)]
        if self.settings.content_text_columns:
            parts.append(self._text(encoded.ngrams))
        slots = torch.zeros(len(names), SLOTS_MAX, self.settings.content_vector_columns)
        for number, at, projected in self._projected(encoded):
            slots[at, number] = projected
        return torch.cat([*parts, slots.flatten(1)], 1)

    def _first_layer(self, encoded: Encoded) -> Tensor:
        """f W (n,width), plus b_1 with hidden layers."""
        n_names, n_numbers, n_text, _ = self.ends
        index, offsets = bags(encoded.names)
        out = functional.embedding_bag(index, self.first[:n_names], offsets, mode="sum")
        if self.space.numbers:
            out = out + self._numbers(encoded.numbers) @ self.first[n_names:n_numbers]
        if self.settings.content_text_columns:
            out = out + self._text(encoded.ngrams) @ self.first[n_numbers:n_text]
        columns = self.settings.content_vector_columns
        for number, at, projected in self._projected(encoded):
            weights = self.first[n_text + number * columns : n_text + (number + 1) * columns]
            out = out.index_add(0, at, projected @ weights)
        return out + self.first_bias if self.layers else out

    def _numbers(self, numbers: Floats) -> Tensor:
        """(n, NUMBERS_MAX * per_number); zeros for what is missing."""
        present = ~np.isnan(numbers)
        low, high = self.number_gates.numpy().T
        value = np.clip(np.where(present, numbers, 0.0), low, high)  # (n, NUMBERS_MAX) float64
        columns = np.zeros((*numbers.shape, self.per_number), np.float32)
        if self.settings.content_numbers == "buckets":
            bucket = (value[:, :, None] >= self.number_edges.numpy()).sum(2)
            np.put_along_axis(columns, bucket[:, :, None], present[:, :, None].astype(np.float32), 2)
        else:
            cut = NUMBER_CUT if self.settings.content_numbers == "standardise" else 1.0
            scaled = np.clip((value - self.number_centre.numpy()) / self.number_scale.numpy(), -cut, cut)
            columns[:, :, 0], columns[:, :, 1] = scaled * present, present
        return torch.from_numpy(columns.reshape(len(numbers), -1))

    def _text(self, ngrams: Indices) -> Tensor:
        """(n, content_text_columns): zeros for an item without a word."""
        text: Tensor = self.bag(*bags(ngrams))
        return text

    def _projected(self, encoded: Encoded) -> list[tuple[int, Tensor, Tensor]]:
        """Slot, items (m,) and columns (m, content_vector_columns) of each named vector that has its matrix."""
        return [
            (
                slot.slot,
                torch.from_numpy(slot.at),
                functional.normalize(torch.from_numpy(slot.vectors.copy())) @ self.projections[str(slot.slot)],
            )
            for slot in encoded.vectors
            if str(slot.slot) in self.projections
        ]


class Adam:
    """Adam (Kingma and Ba 2015, algorithm 1) with an L2 weight in the gradient, from moments of 0.

        m <- .9 m + .1 g,  v <- .999 v + .001 g^2,  p <- p - rate (m / (1 - .9^t)) / (sqrt(v / (1 - .999^t)) + 1e-8)

    torch.optim's own imports a compiler at its first step: seconds and 150 MB in the middle of a stream.
    """

    def __init__(self, parameters: Sequence[Tensor], rate: float, decay: float) -> None:
        self._parameters, self._rate, self._decay = parameters, rate, decay
        self._first = [torch.zeros_like(parameter) for parameter in parameters]
        self._second = [torch.zeros_like(parameter) for parameter in parameters]
        self._t = 0

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor]) -> None:
        """One step, in place; a gradient for each parameter."""
        self._t += 1
        for p, g, m, v in zip(self._parameters, gradients, self._first, self._second, strict=True):
            decayed = g + self._decay * p
            m.mul_(0.9).add_(decayed, alpha=0.1)
            v.mul_(0.999).addcmul_(decayed, decayed, value=0.001)
            scale = (v / (1 - 0.999**self._t)).sqrt_().add_(1e-8)
            p.addcdiv_(m, scale, value=-self._rate / (1 - 0.9**self._t))


def bags(indices: Indices) -> tuple[Tensor, Tensor]:
    """The indices (n,w) that are not -1 one after the other, and where each row's begin (n,)."""
    there = indices >= 0
    counts = there.sum(1)
    begins = np.cumsum(counts) - counts
    return torch.from_numpy(indices[there].astype(np.int64)), torch.from_numpy(begins.astype(np.int64))


def padded(encoded: Encoded, n_more: int) -> Encoded:
    """The items, and so many that say nothing; of each named vector as many as items."""

    def more(array: NDArray[Any], fill: float) -> NDArray[Any]:
        return np.concatenate([array, np.full((n_more, *array.shape[1:]), fill, array.dtype)])

    n = len(encoded.names) + n_more
    slots = []
    for slot in encoded.vectors:
        vectors = np.zeros((n, slot.vectors.shape[1]), np.float32)
        at = np.zeros(n, np.int64)
        vectors[: len(slot.at)], at[: len(slot.at)] = slot.vectors, slot.at
        slots.append(SlotVectors(slot.slot, at, vectors))
    return Encoded(more(encoded.names, -1), more(encoded.numbers, np.nan), more(encoded.ngrams, -1), tuple(slots))


def taken(encoded: Encoded, at: Ints) -> Encoded:
    """The items at these places (m,), ascending."""
    slots = []
    for slot in encoded.vectors:
        _, here, there = np.intersect1d(at, slot.at, assume_unique=True, return_indices=True)
        slots.append(SlotVectors(slot.slot, here, slot.vectors[there]))
    return Encoded(encoded.names[at], encoded.numbers[at], encoded.ngrams[at], tuple(slots))


def seeded_linear(n_in: int, n_out: int, generator: torch.Generator) -> nn.Linear:
    """A linear layer whose weights are drawn by `generator` (He et al. 2015)."""
    layer = nn.Linear(n_in, n_out)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
    nn.init.zeros_(layer.bias)
    return layer
