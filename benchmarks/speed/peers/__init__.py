"""The servers that Answerbox is compared with, as one would write them. They run in .venv-bench."""
