"""The group `livetower inspect`: what cannot be read is one line and exit code 2."""

import importlib
import traceback

import click

from livetower.inspect.errors import InspectError

COMMANDS = ("ls", "summary", "users", "user", "whatif", "stats", "diff", "export", "snapshot", "verify")
"""Each is a function in the file of its name."""


class InspectCommands(click.Group):
    """Answers an InspectError by one line, or with --debug by the traceback behind it too.

    A command is imported when it is asked for: numba, pyarrow and RocksDB would cost every `livetower` a second.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"livetower.inspect.{cmd_name}"), cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except InspectError as error:
            if ctx.params.get("debug"):
                traceback.print_exc()
            click.echo(f"livetower inspect: {error}", err=True)
            ctx.exit(2)


@click.group(cls=InspectCommands)
@click.option("--debug", is_flag=True, help="Show the traceback behind an error.")
def inspect(debug: bool) -> None:
    """See, search, compare, explain and verify what the job has learned, from a checkpoint or savepoint."""
