"""The page docs/metrics.md: the metrics that the job's two operators count, from their docstrings.

python -m livetower.reference.metrics > docs/metrics.md      # after a change; a test compares the two, and the names
                                                             # with what the operators register
"""

import inspect
import re

from operators.learn_and_recommend import LearnAndRecommend
from operators.train_item_tower import TrainItemTower

OPERATORS = {"learn-and-recommend": LearnAndRecommend, "train-item-tower": TrainItemTower}
ROW = re.compile(r"^    (\w+)  +(\S.*(?:\n {5,}\S.*)*)", re.MULTILINE)
"""A metric and its meaning in a docstring: indented by four, further lines by more."""
HEAD = """\
# Metrics

Counters of the job's two operators, beside those that Flink counts for every task. They start at 0 with each
(re)start of the job. Flink's web UI shows them under the operator's name, and the REST API as

    /jobs/<job>/vertices/<vertex>/subtasks/metrics?get=<subtask index>.<operator name>.<counter>

Its Prometheus reporter calls them `flink_taskmanager_job_task_operator_<counter>`. What to watch, and when to worry:
[deployment](deployment.md#monitor).

This page is written by `python -m livetower.reference.metrics > docs/metrics.md`.
"""


def metrics_page() -> str:
    """The page: a table for each operator."""
    tables = []
    for name, operator in OPERATORS.items():
        rows = "".join(f"| `{metric}` | {meaning} |\n" for metric, meaning in documented_metrics(operator).items())
        tables.append(f"\n## {name}\n\n| counter | counts |\n| --- | --- |\n{rows}")
    return HEAD + "".join(tables)


def documented_metrics(operator: type) -> dict[str, str]:
    """Name and meaning of each counter that an operator's docstring lists, in its order."""
    _, _, counters = (inspect.getdoc(operator) or "").partition("Counters:\n")
    return {metric: " ".join(meaning.split()) for metric, meaning in ROW.findall(counters)}


if __name__ == "__main__":
    print(metrics_page(), end="")
