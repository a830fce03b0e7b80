"""Who else takes this machine's memory: stopped for the night, and always brought back."""
