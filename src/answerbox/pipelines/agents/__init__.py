"""What the agent is made of: its tools, how they are called, and its turns."""
