"""What decides whether and how the floor is used: `FloorSettings(use="off")`."""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from ...datasets.fields import check_fields


@dataclass(frozen=True)
class FloorSettings:
    """Attributes:
    use: "auto": wherever an event's cameras stand still and their floor is found; "off": never.
    longest_offset: seconds that two clocks may be apart, after the offsets of reidkit.toml and the soundtracks, and
        still be found by where people stand; 0 takes the clocks as they are.
    """

    use: Literal["auto", "off"] = "auto"
    longest_offset: Annotated[float, Meta(ge=0, le=60)] = 3.0

    def __post_init__(self) -> None:
        check_fields(self, "floor setting")
