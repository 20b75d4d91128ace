"""`python -m distill`: make a student checkpoint. Import-light: torch is imported by the command that needs it."""

from __future__ import annotations

import sys

import typer

from distill.commands import augment_preview, cache_teacher, compare, fit_head, pack, teachers, train

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def distill() -> None:
    """From a teacher and images to a student checkpoint."""


app.command(epilog=fit_head.EXAMPLES)(fit_head.fit_head)
app.command(help=train.HELP, epilog=train.EXAMPLES)(train.train)
app.command("teachers", epilog=teachers.LIST_EXAMPLES)(teachers.list_teachers)
app.command(help=compare.HELP, epilog=compare.EXAMPLES)(compare.compare)
app.command(epilog=pack.EXAMPLES)(pack.pack)
app.command(epilog=teachers.WHITEN_EXAMPLES)(teachers.whiten_teacher)
app.command(epilog=augment_preview.EXAMPLES)(augment_preview.augment_preview)
app.command(help=cache_teacher.HELP, epilog=cache_teacher.EXAMPLES)(cache_teacher.cache_teacher)


def main() -> None:
    """`python -m distill --config NAME` is short for `python -m distill train --config NAME`."""
    if len(sys.argv) > 1 and sys.argv[1].partition("=")[0] in {"--config", "--resume"}:
        sys.argv.insert(1, "train")
    app(prog_name="python -m distill")


if __name__ == "__main__":
    main()
