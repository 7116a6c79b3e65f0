"""What the box says about itself: dashboard, diagnosis, metrics."""
