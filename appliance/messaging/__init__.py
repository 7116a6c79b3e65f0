"""The legs of messages: accepting, sending, receiving."""
