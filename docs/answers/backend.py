"""Answers to the exercises on backend.py."""

# 2^24 + 1 is 1 followed by 23 zeros and a 1: 25 binary digits. It is rounded to an even last digit, which gives 2^24.
# All smaller whole numbers have at most 24 digits, as has their successor.
lost = 2**24
