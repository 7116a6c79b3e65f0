"""The rules of messages, numbers, limits and reports. Pure: no I/O, the time is passed in."""
