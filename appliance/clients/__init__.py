"""The clients of the API: keys, permissions, rate limits."""
