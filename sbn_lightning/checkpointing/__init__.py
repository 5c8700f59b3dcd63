"""Writing, finding, reading and comparing checkpoints, so that a killed training continues exactly."""
