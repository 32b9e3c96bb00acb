"""Which test tracklets are searched for: `queries(people)`, by the MARS rule."""

import polars as pl


def queries(people: pl.DataFrame) -> list[str]:
    """The ids of the best tracklet of each (identity, camera) whose identity another camera saw too.

    Args:
        people: the test tracklets that are persons; columns id, identity, event, camera, quality, frames.
    """
    seen = people.with_columns(cameras=pl.col("camera").n_unique().over("event", "identity"))
    best = (
        seen.filter(pl.col("cameras") > 1)
        .sort(["quality", "frames", "id"], descending=[True, True, False])
        .unique(["identity", "event", "camera"], keep="first", maintain_order=True)
    )
    return sorted(best["id"].to_list())
