"""How the embedded network was made: data list, composition, network, losses, training, evaluation, export.

Needs the extra `training` (PyTorch); nothing here is used at run time. `python -m training --help` lists the commands.
"""
