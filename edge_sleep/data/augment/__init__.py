"""Other ways to ask what was asked: the answer is never touched, nor a number, a name or a negation.

`rewording` chooses among the moves; `facts` guards what a move must keep. `puzzle` is the one place where
answers change, with their questions; `paraphrase` lets the model itself reword, and believes none of it.
"""
