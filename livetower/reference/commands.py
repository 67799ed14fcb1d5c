"""The page docs/commands.md: what `--help` says of every command.

python -m livetower.reference.commands > docs/commands.md      # after a change; a test compares the two
"""

from collections.abc import Iterator

import click

from livetower.cli import main

WIDTH = 100
HEAD = """\
# Commands

What `livetower COMMAND --help` says, at one place. The commands that speak to Kafka or Flink find the sandbox by
themselves (`livetower up`); for a cluster of yours they take `--bootstrap-servers` or `--rest-url`. Exit code 0: done;
1: it did not work out; 2: it was asked wrongly, and one line says what was needed, what came and what to do.

This page is written by `python -m livetower.reference.commands > docs/commands.md`.
"""


def commands_page() -> str:
    """The page: a heading and the help of each command, by name."""
    return HEAD + "".join(
        f"\n## {' '.join(path)}\n\n```text\n{help_text(path, command)}\n```\n" for path, command in every_command()
    )


def every_command(
    path: tuple[str, ...] = ("livetower",), of: click.Command = main
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Each command that does something with the words that call it, by name; groups are passed through."""
    if not isinstance(of, click.Group):
        yield path, of
        return
    context = click.Context(of)
    for name in sorted(of.list_commands(context)):
        if (command := of.get_command(context, name)) is not None:
            yield from every_command((*path, name), command)


def help_text(path: tuple[str, ...], command: click.Command) -> str:
    """What `--help` prints on a terminal of WIDTH columns."""
    context = click.Context(command, info_name=" ".join(path), terminal_width=WIDTH, max_content_width=WIDTH)
    return "\n".join(line.rstrip() for line in command.get_help(context).splitlines())


if __name__ == "__main__":
    print(commands_page(), end="")
