"""`sbn evaluate`: how well trained models do, and what they take for what, as a page."""
