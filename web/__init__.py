"""All HTTP: the API and the status page."""
