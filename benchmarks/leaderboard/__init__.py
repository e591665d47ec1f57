"""Every method on every test-bed, beside references that must lose and peers' own implementations.

python -m benchmarks.leaderboard            writes docs/leaderboard.md; continues where it was interrupted
python -m benchmarks.leaderboard --small    a few scenes of the small beds, into build/leaderboard-small
"""
