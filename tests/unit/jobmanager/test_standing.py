"""What a manager tells of the queue and of itself."""

from copilot.jobmanager.standing import fields
from copilot.runtime.counts import JobCounts


def test_every_state_of_jobs_is_told_while_the_store_is_up() -> None:
    told = fields(JobCounts(claims=3), {"running": 2}, store_up=True)
    assert (told["store"], told["queue-running"], told["queue-waiting"], told["claims"]) == (
        "up",
        "2",
        "0",
        "3",
    )


def test_nothing_is_told_of_the_queue_while_the_store_is_away() -> None:
    told = fields(JobCounts(), {}, store_up=False)
    assert told["store"] == "away"
    assert not [name for name in told if name.startswith("queue-")]
