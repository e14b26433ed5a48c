"""What a checkpoint holds beside the weights comes back in a training that resumes from it."""

import pytest

from durian.errors import RunError
from durian.training.checkpoints import States, mark_complete


class Counter:
    def __init__(self, at=0):
        self.at = at

    def state(self):
        return {"at": self.at}

    def restore(self, state):
        self.at = state["at"]


def test_each_part_of_a_training_finds_its_own_state_again(tmp_path):
    begun, one, other = States(None), Counter(), Counter()
    begun.add("one", one)
    begun.add("other", other)
    one.at, other.at = 3, 5  # what is kept is the state at the checkpoint, not at the beginning
    mark_complete(tmp_path, None, begun.now())
    resumed, one, other = States(tmp_path), Counter(), Counter()
    resumed.add("other", other)
    resumed.add("one", one)
    assert (one.at, other.at) == (3, 5)


def test_a_checkpoint_without_a_parts_state_is_refused(tmp_path):
    mark_complete(tmp_path, None, {})
    with pytest.raises(RunError, match="holds no state 'one'; remove this checkpoint"):
        States(tmp_path).add("one", Counter())
