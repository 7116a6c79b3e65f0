"""Foundations that every part uses: settings, clock, files, encryption, task supervision."""
