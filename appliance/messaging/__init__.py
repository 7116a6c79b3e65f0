"""Messages on their way: accepted, sent, reported on, received."""
