"""Measured experiments: each returns a tidy data frame and has a plot that draws it.

Every figure comes from running programs on the simulated machine; the papers' own figures come from
``datasets/`` and are drawn as theirs.
"""
