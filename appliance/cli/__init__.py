"""The command line: `zimbox …`."""
