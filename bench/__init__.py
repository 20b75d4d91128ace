"""From bundles and a device to records and a report. Import-light: each command imports what it needs."""
