"""`sbn predict`: what a trained model takes images for, as a table."""
