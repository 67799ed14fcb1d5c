"""The handbook's reference pages, each written from the code that it describes: a page that is typed goes stale.

    python -m livetower.reference.commands > docs/commands.md     # after a change; tests compare
    python -m livetower.reference.records > docs/records.md
    python -m livetower.reference.metrics > docs/metrics.md
    python -m livetower.reference.codes > docs/codes.md

docs/settings.md comes from livetower/settings_table.py and docs/doctor.md from livetower/doctor/checks.py.
"""
