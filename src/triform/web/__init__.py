"""The web application: jobs with a queue, results in folders, pages made from the settings."""
