"""The strategies: presets of weights for the parts of one score.

    s_i = w_taste gamma_c q_i . p  +  w_recent gamma_c q_i . sum_l a_l q_{j_l}  +  w_popularity pop_{c,i}  +  w_bias b_i
        + w_neighbours beta_c n_i  +  w_content gamma_c z_i . (p + sum_l a_l q_{j_l})  +  w_exploration e_i

`ranking.py` computes the parts; which of them count is all that tells two strategies apart. gamma, the weights inside
pop and beta are learned (`item_tower.py`), beta twice: beside the model, and alone with the popularity.

    hybrid         everything that is learned                                       the default
    collaborative  what users consumed together lately (item neighbours), and popularity
    content        what the content tower says of an item, against the user's taste
    model          the embeddings and biases alone
    popular        popularity alone
"""

from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

PARTS: Final = ("taste", "recent", "popularity", "bias", "neighbours", "content", "exploration")
"""The parts of a score, in the order of a strategy's weights and of a record."""
WITH_MODEL, ALONE = 0, 1
"""Rows of beta."""


class Strategy(StrEnum):
    """How a list is made."""

    HYBRID = "hybrid"
    COLLABORATIVE = "collaborative"
    CONTENT = "content"
    MODEL = "model"
    POPULAR = "popular"


def _weights(**parts: float) -> NDArray[np.float32]:
    weights = np.array([parts.get(part, 0.0) for part in PARTS], np.float32)
    weights.flags.writeable = False
    return weights


WEIGHTS: Final = {
    Strategy.HYBRID: _weights(taste=1, recent=1, popularity=1, bias=1, neighbours=1, exploration=1),
    Strategy.COLLABORATIVE: _weights(neighbours=1, popularity=1, exploration=1),
    Strategy.CONTENT: _weights(content=1, exploration=1),
    Strategy.MODEL: _weights(taste=1, recent=1, bias=1, exploration=1),
    Strategy.POPULAR: _weights(popularity=1),
}
"""(len(PARTS),) of each strategy."""


def beta_row(strategy: Strategy) -> int:
    """Which of the two learned weights of the neighbours the strategy takes."""
    return ALONE if strategy is Strategy.COLLABORATIVE else WITH_MODEL
