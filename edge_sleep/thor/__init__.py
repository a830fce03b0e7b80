"""Jobs that run elsewhere: whether to ship, what is sent, who works on it, and what is believed of what comes back."""
