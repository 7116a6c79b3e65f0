"""The SD card: how it is built and checked, tried under emulation, and (in `target`) what runs on it as root."""
