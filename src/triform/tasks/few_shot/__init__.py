"""Few-shot classification: episodes, loss, evaluation, trained learners."""
