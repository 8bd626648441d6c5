"""Downloads as a picture: bars in SVG, drawn here, with the numbers in words beside them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

from markupsafe import Markup

WEEKS = 26
WIDTH, HEIGHT, GAP = 320, 64, 2


def weekly(days: Mapping[str, int], today: date) -> Markup | None:
    """Bars for the last half year, a week each; None when nothing was ever fetched."""
    sums = [0] * WEEKS
    for day, count in days.items():
        age = (today - date.fromisoformat(day)).days
        if 0 < age <= WEEKS * 7:
            sums[WEEKS - 1 - (age - 1) // 7] += count
    highest = max(sums)
    if not highest:
        return None
    step = WIDTH / WEEKS
    bars = Markup("").join(
        Markup(
            '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="1"><title>{}</title></rect>'
        ).format(
            at * step,
            HEIGHT - _height(count, highest),
            step - GAP,
            _height(count, highest),
            f"{count:,} in the week from {today - timedelta(days=(WEEKS - at) * 7)}",
        )
        for at, count in enumerate(sums)
    )
    return Markup(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}'
        '<line class="base" x1="0" x2="{}" y1="{}" y2="{}"/></svg>'
    ).format(
        WIDTH,
        HEIGHT + 1,
        f"Downloads by week over half a year: {sums[-1]:,} in the last week, at most {highest:,}",
        bars,
        WIDTH,
        HEIGHT + 0.5,
        HEIGHT + 0.5,
    )


def _height(count: int, highest: int) -> float:
    return max(1.5, HEIGHT * count / highest) if count else 0.0
