"""A box under users' traffic and one fault after another, and four books of it compared line by line.

The books: what the clients asked and were answered, what the box says, what the webhook receiver was told, and what
the simulated network received. `scripts/torture` runs it for as long as it is asked to; a short form is in the tests.
"""
