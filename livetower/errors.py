"""How a command says what the person can cure."""

import click


class CannotGoOn(click.ClickException):
    """One line that says what was needed, what came and what to do; exit code 2."""

    exit_code = 2
