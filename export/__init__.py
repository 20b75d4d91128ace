"""From a student checkpoint to app-ready bundles. Import-light: converters load when used."""
