"""`python -m distill`: make a student checkpoint. Import-light: torch is imported by the command that needs it."""

from __future__ import annotations

import sys

import typer

from distill.commands import augment_preview as preview_command
from distill.commands import cache_teacher as cache_command
from distill.commands import compare as compare_command
from distill.commands import fit_head as fit_head_command
from distill.commands import pack as pack_command
from distill.commands import teachers as teachers_command
from distill.commands import train as train_command

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def distill() -> None:
    """From a teacher and images to a student checkpoint."""


app.command(epilog=fit_head_command.EXAMPLES)(fit_head_command.fit_head)
app.command(help=train_command.HELP, epilog=train_command.EXAMPLES)(train_command.train)
app.command("teachers", epilog=teachers_command.LIST_EXAMPLES)(teachers_command.list_teachers)
app.command(help=compare_command.HELP, epilog=compare_command.EXAMPLES)(compare_command.compare)
app.command(epilog=pack_command.EXAMPLES)(pack_command.pack)
app.command(epilog=teachers_command.WHITEN_EXAMPLES)(teachers_command.whiten_teacher)
app.command(epilog=preview_command.EXAMPLES)(preview_command.augment_preview)
app.command(help=cache_command.HELP, epilog=cache_command.EXAMPLES)(cache_command.cache_teacher)


def main() -> None:
    """`python -m distill --config NAME` is short for `python -m distill train --config NAME`."""
    if len(sys.argv) > 1 and sys.argv[1].partition("=")[0] in {"--config", "--resume"}:
        sys.argv.insert(1, "train")
    app(prog_name="python -m distill")


if __name__ == "__main__":
    main()
