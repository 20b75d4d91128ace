"""`python -m bench`: bundles and a device to records, and records to a report. Import-light."""

from __future__ import annotations

import typer

from bench.commands import calibration_spread, embed, evaluate, head_to_head, make_dataset, prepare, report, run

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Measure bundles on a device, and report what each costs and detects.",
)
app.command(help=run.HELP, epilog=run.EXAMPLES)(run.run)
app.command(help=report.HELP, epilog=report.EXAMPLES)(report.report)
app.command(help=calibration_spread.HELP, epilog=calibration_spread.EXAMPLES)(calibration_spread.calibration_spread)
app.command(help=embed.HELP, epilog=embed.EXAMPLES)(embed.embed)
app.command(help=evaluate.HELP, epilog=evaluate.EXAMPLES)(evaluate.evaluate)
app.command(help=head_to_head.HELP, epilog=head_to_head.EXAMPLES)(head_to_head.head_to_head)
app.command(help=make_dataset.HELP, epilog=make_dataset.EXAMPLES)(make_dataset.make_dataset)
app.command(help=prepare.HELP, epilog=prepare.EXAMPLES)(prepare.prepare)

if __name__ == "__main__":
    app()
