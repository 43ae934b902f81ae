"""Image generation: the images of a run, settings of the verbs, sheets."""
