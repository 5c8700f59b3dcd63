"""`sbn export`: a trained model as a file for other programs, with a model card."""
