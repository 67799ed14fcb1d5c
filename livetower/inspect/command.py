"""The group `livetower inspect`: what cannot be read is one line and exit code 2."""

import traceback

import click

from livetower.inspect.diff import diff
from livetower.inspect.errors import InspectError
from livetower.inspect.export import export
from livetower.inspect.snapshot import snapshot
from livetower.inspect.stats import stats
from livetower.inspect.summary import summary
from livetower.inspect.user import user
from livetower.inspect.users import users
from livetower.inspect.verify import verify
from livetower.inspect.whatif import whatif


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


inspect.add_command(summary)
inspect.add_command(user)
inspect.add_command(users)
inspect.add_command(whatif)
inspect.add_command(diff)
inspect.add_command(export)
inspect.add_command(snapshot)
inspect.add_command(stats)
inspect.add_command(verify)
