"""The key manager: gives tickets to those who belong, in the form of 2011."""
