"""The group `livetower inspect`: what cannot be read is one line and exit code 2."""

import traceback

import click

from livetower.inspect.errors import InspectError
from livetower.inspect.ls import ls


class InspectCommands(click.Group):
    """Answers an InspectError by one line, or with --debug by the traceback behind it too."""

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


inspect.add_command(ls)
