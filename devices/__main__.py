"""`python -m devices`: what is attached, and why each of the others is not."""

from __future__ import annotations

import json
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help="What an artifact can be run on.")


@app.command(
    help="List the devices: what each attached one says of itself, and why each of the others is not attached.",
    epilog="Example: python -m devices --json",
)
def main(
    as_json: Annotated[bool, typer.Option("--json", help="One object on standard output, nothing else there.")] = False,
) -> None:
    from dataclasses import asdict

    from devices import DEVICES
    from devices.base import DeviceError, DeviceFacts, open_device

    attached: dict[str, DeviceFacts] = {}
    missing: dict[str, str] = {}
    for name in sorted(DEVICES):
        try:
            with open_device(name) as device:
                attached[name] = device.facts()
        except DeviceError as error:
            missing[name] = str(error)
    if as_json:
        facts = {name: asdict(found) for name, found in attached.items()}
        typer.echo(json.dumps({"attached": facts, "not_attached": missing}))
        return
    for name, found in attached.items():
        typer.echo(f"{name}: attached")
        for field, value in asdict(found).items():
            typer.echo(f"  {field}: {'not measured' if value is None else value}")
    for name, reason in missing.items():
        typer.echo(f"{name}: not attached: {reason}")


if __name__ == "__main__":
    app()
