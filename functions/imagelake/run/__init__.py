"""What the states of one execution exchange: models, posts, failures, events, errors, settings, logs, AWS clients."""
