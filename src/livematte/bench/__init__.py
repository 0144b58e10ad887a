"""What `livematte bench` runs: how fast this machine mattes, where the time goes, and how good the matte is.

Each case (`plan.Case`) runs in a process of its own (`child.py`), so that its peak of memory and its CPU seconds are
its own. It is the pipeline of `convert`, looked at by a probe (`probe.py`); nothing is measured in any other way than
it runs for a person.
"""
