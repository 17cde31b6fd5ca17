"""How well a service finds and answers: a data set, measures, a run, a report, a comparison of two runs."""
