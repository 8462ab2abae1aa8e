"""What is known of a model: how likely texts are, its speed, whether it computes as recorded."""
