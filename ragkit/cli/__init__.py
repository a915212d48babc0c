"""The command line. Exit codes: 0 hits or success, 1 no hit, 2 an error, 130 interrupted."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from ragkit.cli.compact import compact
from ragkit.cli.doctor import doctor
from ragkit.cli.index import index
from ragkit.cli.lint import lint
from ragkit.cli.models import models
from ragkit.cli.project import check, config, init
from ragkit.cli.rollback import rollback
from ragkit.cli.search import search
from ragkit.cli.sharing import pack, unpack
from ragkit.cli.status import status
from ragkit.cli.watch import watch
from ragkit.cli.why_not import why_not
from ragkit.errors import RagkitError
from ragkit.version import __version__

NO_HIT = 1
ERROR = 2
INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, package_name="ragkit", message="%(prog)s %(version)s")
def cli() -> None:
    """Index code and documents, and search them by words and by meaning.

    Without any set-up, `ragkit search "how are ignore rules applied?"` indexes the repository
    around you, keeps the index in your cache folder, and prints the places that answer.

    Exit codes: 0 hits or success, 1 no hit, 2 an error, 130 interrupted.
    """


COMMANDS = (
    *(search, why_not, index, watch, status, compact, rollback, pack, unpack),
    *(models, doctor, init, check, lint, config),
)

for command in COMMANDS:
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code; errors become `error:` and `try:` lines."""
    try:
        code = cli.main(args=arguments, prog_name="ragkit", standalone_mode=False)
    except RagkitError as error:
        click.echo(f"{click.style('error:', fg='red')} {error.message}", err=True)
        if error.remedy:
            click.echo(f"  {click.style('try:', fg='cyan')} {error.remedy}", err=True)
        code = ERROR
    except click.ClickException as error:
        error.show()
        code = ERROR
    except BrokenPipeError:
        # the reader has what it wanted; keep Python from flushing into the closed pipe at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted; what was done is kept", err=True)
        code = INTERRUPTED
    code = code if isinstance(code, int) else 0
    if "ragkit.cli.workers" in sys.modules:
        from ragkit.cli.workers import leave

        leave(code)
    sys.exit(code)
