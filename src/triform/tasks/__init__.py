"""What all systems of one kind share: settings, batches, verbs, evaluation."""
