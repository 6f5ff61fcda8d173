"""Answers to the exercises on averages.py."""

# Step 1 goes from 0 to 1, step 2 to 2; then slow = 0.5 * 0 + 0.5 * 2 = 1, and the weight restarts from there.
# Step 3 goes to 2, step 4 to 3; then slow = 0.5 * 1 + 0.5 * 3 = 2.
by_hand = [1, 1, 2, 2]
