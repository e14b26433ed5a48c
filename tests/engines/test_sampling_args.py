"""Arguments of sampling by name: each engine heeds them, and tells raw log-probabilities."""

import pytest
import torch

from durian.config import SamplingConfig
from durian.engines.loading import check_engine, open_engine
from durian.engines.sampling_args import written_penalty
from durian.errors import ConfigError
from tests.engines.stand_in import StandIn, choice
from tests.engines.test_engines import ENGINES, assert_logprobs_are_the_teachers, draw, told


@pytest.fixture
def bent(open_once, tiny_config, monkeypatch):
    """Opens an engine with arguments of sampling; vLLM's policy is the one that is loaded."""

    def get(name, **args):
        if name == "vllm":
            llm = open_once("vllm")._llm
            monkeypatch.setattr("vllm.LLM", lambda **_: llm)
        return open_engine(tiny_config(engine=name, sampling_args=args))

    return get


@pytest.fixture
def unloaded(open_once, monkeypatch):
    """Makes vLLM's loader one that fails."""

    def make(name):
        if name == "vllm":
            open_once(name)  # by which it is imported, its warnings aside
            monkeypatch.setattr("vllm.LLM", None)

    return make


@pytest.fixture
def prompts(ask):
    return [ask("How many dots?", 1), ask("What is 6 x 7?"), ask("Left of the other?", 2, 3)]


@pytest.mark.parametrize("name", ENGINES)
def test_of_one_likeliest_token_the_greedy_completion_is_drawn(name, bent, open_once, prompts):
    greedy = draw(open_once(name), prompts, greedy=True)
    for drawn, (alone,) in zip(draw(bent(name, top_k=1), prompts), greedy, strict=True):
        assert {rollout.completion for rollout in drawn} == {alone.completion}
        # Raw: of one token that is left the filtered log-probability would be 0.
        assert all(r.sum_logprob == pytest.approx(alone.sum_logprob, abs=1e-3) for r in drawn)
        assert alone.sum_logprob < -0.01


@pytest.mark.parametrize("name", ENGINES)
def test_a_penalty_bends_the_draws_and_not_the_logprobs(name, bent, open_once, prompts, teacher):
    # Repeated tokens a completion: a penalty leaves few of them, which a logit near 0 lets through.
    repeats = {}
    for engine in (bent(name, repetition_penalty=1e6), open_once(name)):
        drawn = [
            [rollout for rollout in rollouts if told(rollout, teacher)]  # where its text tells all
            for rollouts in draw(engine, prompts)
        ]
        assert_logprobs_are_the_teachers(prompts, drawn, teacher)
        written = [told(rollout, teacher) for rollouts in drawn for rollout in rollouts]
        again = sum(len(tokens) - len(set(tokens)) for tokens in written)
        repeats[engine] = again / sum(map(len, written))
    bent_share, share = repeats.values()
    assert share > 0.1 and bent_share < share / 2


@pytest.mark.parametrize(
    ("engine", "name", "said"),
    [
        ("transformers", "presence_penaltie", "did you mean presence_penalty?"),
        ("transformers", "repetition_detection", "engine transformers has no such argument"),
        ("vllm", "top_kk", "vLLM's SamplingParams has no such argument; did you mean top_k?"),
    ],
)
def test_a_name_that_an_engine_has_not_is_refused_before_it_is_loaded(
    tiny_config, unloaded, engine, name, said
):
    config = tiny_config(engine=engine, sampling_args={name: 1})
    unloaded(engine)
    with pytest.raises(ConfigError, match=rf"sampling-arg {name}: .*{said}".replace("?", r"\?")):
        check_engine(config)
        open_engine(config)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_value_that_an_engine_does_not_take_is_refused_before_it_is_loaded(
    tiny_config, unloaded, engine
):
    unloaded(engine)
    with pytest.raises(ConfigError, match=r"sampling-arg: .*min_p"):
        config = tiny_config(engine=engine, sampling_args={"min_p": 7.0})
        check_engine(config)
        open_engine(config)


@pytest.mark.parametrize("name", ["sampling_args", "chat_template_args"])
def test_a_script_takes_no_arguments_of_drawing(tiny_config, name):
    option = {"sampling_args": "sampling-arg", "chat_template_args": "chat-template-arg"}[name]
    with pytest.raises(ConfigError, match=f"^{option}: engine scripted replays what was drawn"):
        check_engine(tiny_config(engine="scripted", **{name: {"top_k": 1}}))


def test_what_an_option_decides_is_no_argument(tiny_config):
    for name, option in (("temperature", "--temperature"), ("n", "--rollouts")):
        with pytest.raises(ConfigError, match=f"sampling-arg {name} cannot be set; pass {option}"):
            tiny_config(sampling_args={name: 1})


def test_vllm_ends_a_completion_that_goes_round_in_circles_and_says_so(bent, prompts):
    # Of one token that may be drawn every completion is a loop: four times is enough.
    engine = bent(
        "vllm", allowed_token_ids=[40], repetition_detection={"max_pattern_size": 3, "min_count": 4}
    )
    for rollouts in draw(engine, prompts):
        assert {(r.finish_reason, r.n_tokens) for r in rollouts} == {("repetition", 4)}


def test_a_server_is_asked_with_the_arguments_of_sampling_and_of_the_template(ask):
    server = StandIn()
    server.choice = lambda body: choice(body) | {"finish_reason": "repetition"}
    engine = open_engine(
        SamplingConfig(
            model="m", engine="openai", base_url=server.url, rollouts=1,
            sampling_args={"presence_penalty": 1.5, "top_k": 20},
            chat_template_args={"enable_thinking": False},
        )
    )  # fmt: skip
    try:
        ((drawn,),) = draw(engine, [ask("a")])
    finally:
        engine.close()
        server.stop()
    (body,) = server.asked["a"]
    assert (body["presence_penalty"], body["top_k"]) == (1.5, 20)
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert drawn.finish_reason == "repetition"
    # What its first tokens are without them is asked too: they must not bend what is told.
    tried = [body for body in server.asked["Hello"] if body.get("top_logprobs")]
    assert [body.get("presence_penalty") for body in tried] == [1.5, None]


def test_a_written_token_is_lowered_once_for_being_there_and_once_a_time():
    # Two tokens of the prompt, then 3, 3 and 1: 3 loses 0.5 + 2 x 0.1, 1 loses 0.5 + 0.1.
    ids = torch.tensor([[0, 2, 3, 3, 1]])
    bent = written_penalty(2, presence=0.5, frequency=0.1)(ids, torch.ones(1, 4))
    assert bent.tolist() == [pytest.approx([1.0, 0.4, 1.0, 0.3])]
