"""What demonstrations have in common: frequent sequences, transitions, what failures do that successes do not, and a picture of it.

Belongs here: counting over plain demonstrations, and storing what was found. Not here: advice made of it (playbooks/), SQL (storage/).
"""
