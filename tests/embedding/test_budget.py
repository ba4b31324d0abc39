"""The token budget: tried in turns on real batches, lowered when memory ends, remembered."""

import json
import os
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.embedding.budget import BudgetMemory, TokenBudget, first_budget
from harness.embedding.transformers_backend import TransformersBackend
from tests.embedding.passes import backend, close, embedded, prompts_of

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = (1024, 2048, 4096, 8192)  # tokens that are tried on a CPU


def tried(budget, seconds):
    """Try until it is settled; seconds of each budget's batches of 100 tokens, in turn.

    Returns:
        The budgets in the order in which they were tried.
    """
    left = {each: list(times) for each, times in seconds.items()}
    order = []
    settled = False
    while not settled:
        assert budget.tries
        each = budget.next()
        order.append(each)
        settled = budget.took(each, tokens=100, seconds=left[each].pop(0))
    assert not budget.tries
    return order


class TestTokenBudget:
    """Which budget the next batch has."""

    def test_a_fixed_one(self):
        budget = TokenBudget(7)
        assert not budget.tries
        assert budget.next() == 7

    def test_three_rounds_in_turns(self):
        budget = TokenBudget(20, (10, 20, 30))
        assert budget.next() == 10
        order = tried(budget, {10: [1, 1, 1], 20: [1, 1, 1], 30: [1, 1, 1]})
        assert order == [10, 20, 30] * 3
        assert budget.next() == 10  # of equals the first

    def test_the_first_round_does_not_count(self):
        budget = TokenBudget(10, (10, 20))
        # Rates 1000, 50, 100 and 2, 80, 80: with the first the median would be 100 to 80.
        tried(budget, {10: [0.1, 2, 1], 20: [50, 1.25, 1.25]})
        assert budget.rates == {10: [1000, 50, 100], 20: [2, 80, 80]}
        assert budget.chosen == budget.next() == 20

    def test_the_median_of_the_rest_decides(self):
        budget = TokenBudget(10, (10, 20))
        # Rates 100 and 20, the median 60; 50 and 50.
        tried(budget, {10: [1, 1, 5], 20: [1, 2, 2]})
        assert budget.chosen == 10

    def test_a_clock_that_stands_still(self):
        budget = TokenBudget(10, (10,))
        tried(budget, {10: [0, 0, 0]})
        assert budget.chosen == 10

    def test_lowered_when_nothing_is_tried(self):
        budget = TokenBudget(100)
        budget.lower(50)
        assert budget.next() == 50
        budget.lower(80)
        assert budget.next() == 50

    def test_lowered_during_the_trial(self):
        budget = TokenBudget(20, (10, 20, 30))
        for each in (10, 20):
            assert not budget.took(each, tokens=100, seconds=1)
        assert budget.next() == 30
        budget.lower(15)
        assert budget.tries
        assert budget.chosen == 15
        assert budget.next() == 10
        assert not budget.took(10, tokens=100, seconds=1)
        assert budget.took(10, tokens=100, seconds=1)
        assert budget.next() == budget.chosen == 10

    def test_lowered_below_all_that_is_tried(self):
        budget = TokenBudget(20, (10, 20, 30))
        budget.lower(6)
        assert not budget.tries
        assert budget.next() == 6

    def test_lowered_below_all_that_is_tried_but_above_the_guess(self):
        budget = TokenBudget(4, (10, 20))
        budget.lower(6)
        assert budget.next() == 4

    def test_lowered_after_the_trial(self):
        budget = TokenBudget(10, (10, 20))
        tried(budget, {10: [2, 2, 2], 20: [1, 1, 1]})
        budget.lower(12)
        assert budget.next() == 12

    @given(
        st.lists(st.integers(1, 50), min_size=1, max_size=4, unique=True),
        st.lists(st.integers(1, 60) | st.none(), max_size=40),
    )
    def test_never_above_what_it_was_lowered_to(self, candidates, events):
        budget = TokenBudget(25, tuple(candidates))
        most = max(25, *candidates)
        for event in events:
            if event is not None:
                budget.lower(event)
                most = min(most, event)
            elif budget.tries:
                budget.took(budget.next(), tokens=10, seconds=1)
            assert 1 <= budget.next() <= most
            assert budget.tries == bool(budget.candidates)


class TestFirstBudget:
    """What a pass begins with."""

    def of(self, tokens, known=None, candidates=(10, 20)):
        return first_budget(guess=15, candidates=candidates, tokens=tokens, known=known)

    def test_a_pass_is_tried_on_if_it_is_twice_as_long_as_trying(self):
        assert self.of(179) == TokenBudget(15)
        assert self.of(180) == TokenBudget(15, (10, 20))

    def test_what_is_known_is_taken(self):
        assert self.of(1, known=40) == self.of(10**9, known=40) == TokenBudget(40)

    def test_nothing_worth_trying(self):
        assert not self.of(10**9, candidates=()).tries
        assert self.of(10**9, candidates=()).next() == 15


class TestBudgetMemory:
    """Small files."""

    circumstances = {"device": "a CPU, 2 cores", "dtype": "float32"}  # noqa: RUF012  # read only

    @pytest.fixture
    def memory(self, tmp_path):
        return BudgetMemory(tmp_path / "budgets", self.circumstances)

    @pytest.fixture
    def settled(self):
        budget = TokenBudget(10, (10, 20))
        tried(budget, {10: [1, 4, 2], 20: [1, 1, 1]})
        return budget

    def test_what_is_written_is_read(self, memory, settled):
        assert memory.read() is None
        memory.write(settled)
        assert memory.read() == 20
        assert json.loads(memory.path.read_text()) == {
            "token_budget": 20,
            "tokens_per_second": {"10": 37.5, "20": 100.0},
            "circumstances": self.circumstances,
        }

    def test_one_that_left_the_trial_after_a_round(self, memory):
        budget = TokenBudget(10, (10, 20))
        budget.took(10, tokens=100, seconds=1)
        budget.took(20, tokens=100, seconds=1)
        budget.lower(10)
        budget.took(10, tokens=100, seconds=1)
        assert budget.took(10, tokens=100, seconds=1)
        memory.write(budget)
        assert memory.read() == 10
        assert json.loads(memory.path.read_text())["tokens_per_second"] == {"10": 100.0}

    def test_other_circumstances_have_another_file(self, memory, settled):
        memory.write(settled)
        folder = memory.path.parent
        other = BudgetMemory(folder, self.circumstances | {"dtype": "bfloat16"})
        assert other.path != memory.path
        assert other.read() is None
        reordered = dict(reversed(self.circumstances.items()))
        assert BudgetMemory(folder, reordered).read() == 20

    @pytest.mark.parametrize(
        "content",
        [
            *(b"", b"{", b"\xff\xfe", b"[]", b"null", b"{}"),
            *(b'{"token_budget": "9"}', b'{"token_budget": 0}', b'{"token_budget": -3}'),
            *(b'{"token_budget": 9.5}', b'{"token_budget": null}', b'{"budget": 9}'),
            b'{"token_budget": true}',
        ],
    )
    def test_a_file_that_says_no_budget(self, memory, settled, content):
        memory.path.parent.mkdir()
        memory.path.write_bytes(content)
        assert memory.read() is None
        memory.write(settled)
        assert memory.read() == 20

    def test_a_folder_that_cannot_be_written_to(self, tmp_path, settled, capsys):
        (tmp_path / "file").write_text("")
        memory = BudgetMemory(tmp_path / "file" / "budgets", self.circumstances)
        memory.write(settled)
        told = capsys.readouterr().err
        assert "the token budget 20 cannot be remembered" in " ".join(told.split())
        assert memory.read() is None

    @pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
    def test_a_folder_without_permission(self, memory, settled, capsys):
        memory.path.parent.mkdir(mode=0o500)
        memory.write(settled)
        assert "cannot be remembered" in " ".join(capsys.readouterr().err.split())
        assert memory.read() is None


class Watched(TransformersBackend):
    """Notes each batch's tokens, and runs out of memory above so many."""

    most = 10**9

    def _forward(self, prompts, batch, include_instruction):
        tokens = self._computed(prompts.ids.lengths[batch])
        self.sizes = [*getattr(self, "sizes", []), tokens]
        if tokens > self.most:
            raise MemoryError
        return super()._forward(prompts, batch, include_instruction)


class TestPass:
    """Passes of a backend that remembers."""

    tokens = 40  # of each text

    @pytest.fixture(scope="class")
    def prompts(self):
        count = 6 * sum(CPU) // self.tokens + 1
        return prompts_of(np.random.default_rng(4).integers(3, 60, (count, self.tokens)).tolist())

    @pytest.fixture
    def watched(self, tiny_llama, tmp_path):
        def make(**options):
            memory = tmp_path / "budgets"
            return backend(tiny_llama, cls=Watched, memory=memory, device="cpu", **options)

        return make

    def filled(self, budget):
        """Tokens of a batch as full as a budget lets it be."""
        return budget // self.tokens * self.tokens

    def files(self, tmp_path):
        return list((tmp_path / "budgets").glob("*"))

    @pytest.mark.parametrize("attention", ["auto", "sdpa"])
    def test_tried_once_and_remembered(self, watched, prompts, tmp_path, tiny_llama, attention):
        first = watched(attention=attention)
        vectors = embedded(first, prompts)  # each text once
        assert first.sizes[:12] == [self.filled(each) for each in CPU] * 3
        [file] = self.files(tmp_path)
        known = json.loads(file.read_text())
        chosen = known["token_budget"]
        assert chosen in CPU
        assert set(known["tokens_per_second"]) == {str(each) for each in CPU}
        fastest = max(known["tokens_per_second"].values())
        assert known["tokens_per_second"][str(chosen)] == fastest
        assert set(first.sizes[12:-1]) == {self.filled(chosen)}

        second = watched(attention=attention)
        again = embedded(second, prompts)
        assert set(second.sizes[:-1]) == {self.filled(chosen)}
        assert json.loads(file.read_text()) == known
        np.testing.assert_allclose(again, vectors, rtol=0, atol=1e-6)
        fixed = backend(tiny_llama, device="cpu", attention=attention, token_budget=600)
        np.testing.assert_allclose(embedded(fixed, prompts), vectors, rtol=0, atol=1e-6)

    def test_a_short_pass_takes_a_guess_and_remembers_nothing(self, watched, prompts, tmp_path):
        short = watched()
        part = prompts.select(np.arange(len(prompts.ids) - 2))
        embedded(short, part)
        assert set(short.sizes[:-1]) == {self.filled(2048)}
        assert self.files(tmp_path) == []

    def test_a_short_pass_takes_what_is_known(self, watched, prompts, tmp_path):
        embedded(watched(), prompts)
        [file] = self.files(tmp_path)
        file.write_text(json.dumps(json.loads(file.read_text()) | {"token_budget": 120}))
        short = watched()
        embedded(short, prompts.select(np.arange(8)))
        assert short.sizes == [120, 120, 80]

    def test_a_given_budget_is_kept(self, watched, prompts, tmp_path):
        given = watched(token_budget=4000)
        embedded(given, prompts)
        assert set(given.sizes[:-1]) == {4000}
        assert self.files(tmp_path) == []

    def test_nothing_is_tried_where_nothing_is_remembered(self, tiny_llama, prompts):
        forgetful = backend(tiny_llama, cls=Watched, device="cpu")
        embedded(forgetful, prompts)
        assert set(forgetful.sizes[:-1]) == {self.filled(2048)}

    def test_logits_are_not_tried(self, tiny_bert, prompts, tmp_path):
        memory = tmp_path / "budgets"
        each = backend(tiny_bert, "splade", cls=Watched, memory=memory, device="cpu")
        embedded(each, prompts)
        assert set(each.sizes[:-1]) == {self.filled(2048)}
        assert self.files(tmp_path) == []

    @pytest.mark.parametrize(("vocabulary", "tokens"), [(2**15, 2048), (2**17, 512), (2**40, 1)])
    def test_a_wide_vocabularys_logits_are_bounded(self, tiny_bert, tmp_path, vocabulary, tokens):
        folder = shutil.copytree(tiny_bert, tmp_path / "wide")
        known = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(known | {"vocab_size": vocabulary}))
        each = backend(folder, "splade", memory=tmp_path / "budgets", device="cpu")
        assert each.budgets.of_pass(10**9) == TokenBudget(tokens)  # of 2 ** 28 bytes of logits

    def test_memory_that_ends_during_the_trial(self, watched, prompts, tmp_path, tiny_llama):
        small = watched()
        small.most = 3000
        vectors = embedded(small, prompts)  # each text once
        assert sum(size > small.most for size in small.sizes) == 1
        assert small.sizes[2] == self.filled(4096)
        [file] = self.files(tmp_path)
        chosen = json.loads(file.read_text())["token_budget"]
        assert chosen <= small.most
        assert small.sizes[-2] == self.filled(chosen)
        expected = embedded(backend(tiny_llama, device="cpu"), prompts)
        close(vectors, expected)

    def test_dtype_and_attention_have_files_of_their_own(self, watched, prompts, tmp_path):
        for options in ({}, {"dtype": "bfloat16"}, {"attention": "sdpa"}, {}):
            embedded(watched(**options), prompts)
        assert len(self.files(tmp_path)) == 3

    def test_a_damaged_file_is_found_anew(self, watched, prompts, tmp_path):
        embedded(watched(), prompts)
        [file] = self.files(tmp_path)
        file.write_text("{")
        again = watched()
        embedded(again, prompts)
        assert again.sizes[:4] == [self.filled(each) for each in CPU]
        assert json.loads(file.read_text())["token_budget"] in CPU
