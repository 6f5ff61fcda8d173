"""Answers to the exercises on backend.py."""

# 2^24 + 1 is 1 followed by 23 zeros and a 1: 25 binary digits. It is half-way between the floats 2^24 and 2^24 + 2, and
# is rounded to the one whose last digit is even, 2^24. For each smaller whole number n, n + 1 is
# at most 2^24, which float32 represents exactly.
lost = 2**24
