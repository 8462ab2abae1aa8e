"""From text to token ids and back, as they come."""
