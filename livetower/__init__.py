"""Livetower: what people run and import.

The science is in `models`, the Flink operators in `operators`, the job's wiring in `flink_jobs`; nothing of these knows
this package. Read `livetower.cli` for the commands and `livetower.sandbox` for the local Kafka and Flink.
"""
