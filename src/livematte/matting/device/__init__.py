"""Matting on a GPU: the picture stays there from the upload (or the decoder) to the finished alpha plane."""
