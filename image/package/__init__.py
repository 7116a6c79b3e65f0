"""ZimBox for a Linux that already runs: the Debian package, the wheel, the container, and their trials."""
