"""The authors' names to ours."""

from reidkit.baselines.renaming import rename


def test_the_longest_prefix_counts_and_strangers_stay():
    prefixes = {"bottleneck.": "a.", "bottleneck_proj.": "b.", "bottle": "c", "all.": ""}
    names = {"bottleneck_proj.weight": 1, "bottleneck.weight": 2, "stranger": 3, "bottle": 4, "all.x": 5}
    assert rename(names, prefixes) == {"b.weight": 1, "a.weight": 2, "stranger": 3, "c": 4, "x": 5}
