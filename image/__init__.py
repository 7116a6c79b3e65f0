"""The SD card: how it is built, tried under emulation and checked, and (in `box`) what runs on it as root."""
