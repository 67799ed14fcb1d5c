"""torch's own SGD and Adam, by their functions: the classes of torch.optim import a compiler at their first step, and
with it a library that prints its leaks when the tests are over.
"""

from collections.abc import Sequence

import torch
from torch.optim.adam import adam
from torch.optim.sgd import sgd


class TorchSteps:
    """torch.optim.SGD or torch.optim.Adam over parameters; those without a gradient stay as they are."""

    def __init__(self, name: str, parameters: Sequence[torch.Tensor], lr: float, weight_decay: float = 0.0) -> None:
        self._name, self._parameters, self._lr, self._decay = name, parameters, lr, weight_decay
        self._means = [torch.zeros_like(p) for p in parameters]
        self._variances = [torch.zeros_like(p) for p in parameters]
        self._steps = [torch.tensor(0.0) for _ in parameters]

    @torch.no_grad()
    def step(self) -> None:
        used = [n for n, p in enumerate(self._parameters) if p.grad is not None]
        if not used:
            return
        parameters = [self._parameters[n] for n in used]
        gradients = [p.grad for p in parameters]
        if self._name == "sgd":
            sgd(
                parameters,
                gradients,
                [None] * len(used),
                foreach=False,
                weight_decay=self._decay,
                momentum=0.0,
                lr=self._lr,
                dampening=0.0,
                nesterov=False,
                maximize=False,
            )
            return
        moments = [[array[n] for n in used] for array in (self._means, self._variances)]
        adam(
            parameters,
            gradients,
            *moments,
            [],
            [self._steps[n] for n in used],
            foreach=False,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self._lr,
            weight_decay=self._decay,
            eps=1e-8,
            maximize=False,
        )
