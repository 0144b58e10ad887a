"""Weights of the right shapes and random values for backgroundremover, to time it where nobody gave real ones.

python backgroundremover_random.py OUT.pth
"""

import sys

import torch
from backgroundremover.u2net.u2net import U2NET

torch.manual_seed(1)
torch.save(U2NET(3, 1).state_dict(), sys.argv[1])
