"""The longest pause of a schedule. The forms are those of EventBridge Scheduler.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
"""

from __future__ import annotations

import pytest

from tools.schedule import no_good_run_hours


@pytest.mark.parametrize(
    ("expression", "hours"),
    [
        # The default of the template.
        ("cron(30 5 * * ? *)", 26),
        ("rate(1 day)", 26),
        ("rate(6 hours)", 8),
        ("rate(30 minutes)", 3),
        ("cron(0 */6 * * ? *)", 8),
        ("cron(0 6,18 * * ? *)", 14),
        ("cron(15 6 ? * MON-FRI *)", 74),
        ("cron(15 6 ? * 2-6 *)", 74),
        ("cron(0 5 ? * MON,THU *)", 98),
        ("cron(0 5 1/5 * ? *)", 122),
        ("rate(6 days)", 146),
        # Pauses that CloudWatch cannot watch.
        ("cron(0 5 ? * MON *)", 0),
        ("rate(7 days)", 0),
        ("cron(0 5 1 * ? *)", 0),
        ("cron(0 5 29 2 ? *)", 0),
        # Forms that are not known here, and one that ends.
        ("cron(0 5 L * ? *)", 0),
        ("cron(0 5 ? * 6#3 *)", 0),
        ("cron(0 5 * * ? 2026)", 0),
        ("cron(0 5 * *)", 0),
        ("at(2026-04-01T05:00:00)", 0),
    ],
)
def test_hours_without_a_good_run_follow_from_the_schedule(expression: str, hours: int) -> None:
    assert no_good_run_hours(expression) == hours
