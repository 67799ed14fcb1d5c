"""The job's two Python operators: Flink and disk on one side, models/ on the other, nothing else."""
