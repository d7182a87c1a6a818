"""See magicmind."""
