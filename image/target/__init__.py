"""What runs on the box as root, or before the gateway: first boot, the steward, the page of a broken card."""
