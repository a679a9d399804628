"""Samples of pictures: what is done to each of them, thirty times a second."""
