"""`python -m bench report`: records to a page for each device."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from devices.base import DeviceError
from icd_mobile.cli import one_line_errors

HELP = "Turn a folder of records into a report for each device: HTML that stands alone, Markdown and CSV."
EXAMPLES = "Example: python -m bench report --records artifacts/records --out artifacts/reports"


def report(
    records: Annotated[Path, typer.Option(help="Folder of records.")] = Path("artifacts/records"),
    out: Annotated[Path, typer.Option(help="Folder for the reports.")] = Path("artifacts/reports"),
    as_json: Annotated[bool, typer.Option("--json", help="One object on standard output, nothing else there.")] = False,
) -> None:
    """Registered with `HELP` and `EXAMPLES` by `bench.__main__`."""
    with one_line_errors(DeviceError):
        from bench.report.report import write_reports

        reports = write_reports(records, out)
        if as_json:
            from dataclasses import asdict

            plain = {
                found.device: {
                    "html": str(found.html_path),
                    "markdown": str(found.markdown_path),
                    "csv": str(found.csv_path),
                    "compatibility_csv": str(found.compatibility_path) if found.compatibility_path else None,
                    "recommendation": found.recommendation,
                    "precisions": [asdict(choice) for choice in found.precisions],
                }
                for found in reports
            }
            typer.echo(json.dumps({"reports": plain}))
            return
        for found in reports:
            typer.echo(f"Recommended on {found.device}: {found.recommendation}")
            for choice in found.precisions:
                typer.echo(f"  {choice.sentence}")
            typer.echo(f"Report: {found.html_path} (also {found.markdown_path.name} and {found.csv_path.name})")
        typer.echo("\nNext: open the HTML file in a browser.")
