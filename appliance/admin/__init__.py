"""What the owner of the box does on the status page."""
