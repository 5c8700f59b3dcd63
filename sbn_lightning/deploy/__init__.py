"""What a trained model is used for: predictions, evaluations and exports."""
