"""`python -m benchmarks.speed`: Answerbox beside other servers of the same model, into docs/benchmarks.md."""
