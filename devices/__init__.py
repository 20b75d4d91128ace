"""Where an artifact runs: push files, run a script, pull results, ask for facts. Knows nothing of what it carries.

A device is one class in one module, entered here by dotted path, so that a device's libraries are imported
only when that device is asked for. `devices.base.Device` says what it must do; the contract test holds it to that.
"""

# name -> dotted path of a class that is made without arguments
DEVICES: dict[str, str] = {
    "host": "devices.host.HostDevice",
}
