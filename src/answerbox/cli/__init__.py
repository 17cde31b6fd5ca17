"""The command `answerbox`."""
