"""A bench run: every artifact on a device, then all of them against each other."""
