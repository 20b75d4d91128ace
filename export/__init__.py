"""From a student checkpoint to app-ready bundles. Import-light: converters are imported by the function that needs them."""
