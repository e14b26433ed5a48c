"""What the openai engine makes of a server's faults; the stand-in is the edge of the world."""

import base64
import io
import threading
import time
from dataclasses import replace

import pytest
from PIL import Image
from transformers import AutoProcessor

from durian.config import SamplingConfig
from durian.engines.loading import open_engine
from durian.errors import ConfigError, RunError
from durian.samples import Failed, Rollout
from tests.engines.drawing import draw
from tests.engines.stand_in import StandIn, choice, dropped, garbage, reply, status, text_of

YES = Rollout(completion="yes", n_tokens=2, sum_logprob=-1.0, finish_reason="stop")


@pytest.fixture
def server():
    server = StandIn()
    yield server
    server.stop()


@pytest.fixture
def engine_of(server):
    opened = []

    def make(**changes):
        engine_args = {"timeout": 5, "retries": 1} | changes.pop("engine_args", {})
        kept = {"model": "m", "engine": "openai", "base_url": server.url, "rollouts": 2}
        opened.append(open_engine(SamplingConfig(**kept | changes, engine_args=engine_args)))
        return opened[-1]

    yield make
    for engine in opened:
        engine.close()


def test_answers_come_back_in_the_prompts_order_with_the_sums_of_their_logprobs(engine_of, ask):
    # Two tokens of -0.5 nats each are -1.0.
    assert draw(engine_of(), [ask("a"), ask("b")]) == [[YES, YES], [YES, YES]]
    assert draw(engine_of(), [ask("a")], greedy=True) == [[YES]]


@pytest.mark.parametrize(
    ("usage", "told"),
    [({"prompt_tokens": 7}, 7), ({"prompt_tokens": 0}, None), ({"prompt_tokens": "7"}, None),
     ({}, None), ([7], None)],
)  # fmt: skip
def test_prompt_tokens_are_the_servers_count_where_it_gives_one(
    usage, told, server, engine_of, ask
):
    engine = engine_of(rollouts=1)

    def answer(handler):
        reply(handler, 200, {"choices": [choice({})], "usage": usage})

    server.plans["counted"] = [answer]
    assert draw(engine, [ask("counted")]) == [[replace(YES, prompt_tokens=told)]]


@pytest.mark.parametrize(
    "fault", [status(429), status(500), status(503), dropped], ids=["429", "500", "503", "dropped"]
)
def test_a_fault_that_passes_is_tried_over(fault, server, engine_of, ask):
    engine = engine_of()
    server.plans["once"] = [fault]
    assert draw(engine, [ask("once")]) == [[YES, YES]]
    assert len(server.asked["once"]) == 2


def test_retry_after_is_waited_for(server, engine_of, ask):
    engine = engine_of()
    server.plans["later"] = [status(429, Retry_After="1")]
    begun = time.monotonic()
    assert draw(engine, [ask("later")]) == [[YES, YES]]
    assert time.monotonic() - begun >= 1  # without it, the first back-off is half a second


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (status(429, "too many"), "the server gave no answer: status 429 (too many)"),
        (status(500, "oops"), "the server gave no answer: status 500 (oops)"),
        (garbage, "the server gave no answer: its answer is not JSON"),
        (lambda h: reply(h, 200, []), "the server gave no answer: its answer is not a JSON object"),
        (status(400, "too long"), "prompt refused: too long"),
        (lambda h: reply(h, 200, {"object": "nothing"}), "the server's answer has no choices"),
        (
            lambda h: reply(h, 200, {"choices": [choice({})]}),
            "the server gave 1 completions, not 2",
        ),
    ],
)
def test_a_fault_that_stays_is_its_rows_error_and_the_others_go_on(
    fault, reason, server, engine_of, ask
):
    engine = engine_of()
    server.plans["bad"] = [fault] * 2
    assert draw(engine, [ask("a"), ask("bad"), ask("b")]) == [
        [YES, YES], Failed(reason), [YES, YES],
    ]  # fmt: skip


def test_a_connection_that_always_breaks_is_its_rows_error(server, engine_of, ask):
    engine = engine_of()
    server.plans["bad"] = [dropped] * 2
    good, bad = draw(engine, [ask("a"), ask("bad")])
    assert good == [YES, YES]
    assert bad.error.startswith("the server gave no answer: the connection failed (")


def test_an_answer_that_is_too_slow_is_its_rows_error(server, engine_of, ask):
    engine = engine_of(engine_args={"timeout": 0.5, "retries": 0})
    release = threading.Event()
    server.plans["slow"] = [lambda handler: release.wait(30)]
    drawn = draw(engine, [ask("slow"), ask("a")])
    release.set()
    assert drawn == [Failed("the server gave no answer: no answer within 0.5 s"), [YES, YES]]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"message": {"content": None}}, "the server gave no text"),
        ({"message": None}, "the server gave no text"),
        ({"logprobs": None}, "the server gave no log-probabilities"),
        ({"logprobs": {"content": []}}, "the server gave no log-probabilities"),
        (
            {"logprobs": {"content": [{"logprob": -1.0}, {"logprob": None}]}},
            "the server gave no log-probabilities",
        ),
        ({"logprobs": {"content": [{"logprob": -9999.0}]}}, "a log-probability is not finite"),
        ({"logprobs": {"content": [{"logprob": float("nan")}]}}, "a log-probability is not finite"),
        ({"logprobs": {"content": [{"logprob": 7.5}]}}, "the server gave 7.5 as a log-probability"),
        (
            {"message": {"content": "yes", "reasoning": "hm"}},
            "the server cuts the reasoning out of the text (its reasoning parser is on)",
        ),
    ],
)
def test_an_answer_without_text_or_logprobs_is_its_rows_error(
    change, reason, server, engine_of, ask
):
    engine = engine_of()
    server.plans["odd"] = [
        lambda handler: reply(handler, 200, {"choices": [choice({}), choice({}) | change]})
    ]
    assert draw(engine, [ask("odd"), ask("a")]) == [Failed(reason), [YES, YES]]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"logprobs": None}, "the server gave no log-probabilities; .* or pass --engine vllm"),
        ({"logprobs": {"content": [{"logprob": 3.0}]}}, "gave 3 as a log-probability"),
        ({"message": {"content": None, "reasoning": "hm"}}, "its reasoning parser is on"),
    ],
)
def test_a_server_that_cannot_tell_what_is_needed_is_refused_at_once(
    change, reason, server, engine_of
):
    server.choice = lambda body: choice(body) | change
    with pytest.raises(ConfigError, match=reason):
        engine_of()


def test_a_server_that_is_gone_ends_the_run(server, engine_of, ask):
    engine = engine_of(engine_args={"retries": 0})
    server.always = status(500, "engine dead")
    with pytest.raises(RunError, match="no longer answers: status 500 .*give the same command"):
        draw(engine, [ask("a"), ask("b")])


def test_a_key_that_is_taken_back_ends_the_run(server, engine_of, ask, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-most-secret")
    engine = engine_of()
    server.always = status(401, "wrong key sk-most-secret")
    with pytest.raises(RunError, match=r"refuses model 'm' \(401: wrong key \[OPENAI_API_KEY\]\)"):
        draw(engine, [ask("a")])
    assert set(server.keys) == {"Bearer sk-most-secret"}


def test_logprobs_after_the_temperature_are_refused(server, engine_of):
    def bent(body):
        # Two tokens of 0.9 and 0.1; at temperature 1/2 their squares, 0.81 and 0.01, over 0.82.
        likely = [-0.105, -2.303] if body["temperature"] == 1 else [-0.012, -4.407]
        told = choice(body)
        top = [{"token": t, "logprob": v} for t, v in zip("ab", likely, strict=True)]
        told["logprobs"]["content"][0]["top_logprobs"] = top
        return told

    server.choice = bent
    with pytest.raises(ConfigError, match="serve with --logprobs-mode raw_logprobs, or pass"):
        engine_of(temperature=0.5)
    engine_of()  # at temperature 1 they are the policy's own
    server.choice = lambda body: bent(body | {"temperature": 1})
    engine_of(temperature=0.5)  # and these are it at any


def test_a_server_that_draws_one_at_a_time_is_asked_once_a_rollout(server, engine_of, ask):
    one = {"choices": [choice({})]}
    server.always = lambda handler: reply(handler, 200, one)
    engine = engine_of(rollouts=3)
    assert draw(engine, [ask("a")]) == [[YES] * 3]
    seeds = [body["seed"] for body in server.asked["a"]]
    assert [body["n"] for body in server.asked["a"]] == [1] * 3
    assert seeds == [seeds[0], seeds[0] + 1, seeds[0] + 2]


def test_as_many_requests_as_asked_for_are_under_way_and_no_more(server, engine_of, ask):
    engine = engine_of(engine_args={"concurrency": 3, "timeout": 30})
    together = threading.Barrier(3)  # passes three at a time, or breaks
    under_way, most = [], []

    def wait(handler):
        under_way.append(1)
        together.wait(20)
        most.append(len(under_way))
        together.wait(20)
        under_way.pop()
        reply(handler, 200, {"choices": [choice({}), choice({})]})

    texts = [f"p{i}" for i in range(9)]
    server.plans = {text: [wait] for text in texts}
    assert draw(engine, [ask(text) for text in texts]) == [[YES, YES]] * 9
    assert max(most) == 3


def test_images_reach_the_server_pixel_for_pixel_in_their_places(server, engine_of, ask):
    prompt = ask("which?", 1, 2)
    draw(engine_of(), [prompt])
    [body] = server.asked["which?"]
    *shown, text = body["messages"][0]["content"]
    assert text == {"type": "text", "text": "which?"}
    for part, image in zip(shown, prompt.images, strict=True):
        kind, data = part["image_url"]["url"].split(",")
        assert kind == "data:image/png;base64"
        sent = Image.open(io.BytesIO(base64.b64decode(data)))
        assert (sent.mode, sent.size) == (image.mode, image.size)
        assert sent.tobytes() == image.tobytes()


def test_requests_say_all_that_bends_the_draws(server, engine_of, ask):
    server.listing = {"data": [{"id": "m", "owned_by": "vllm", "max_model_len": 100}]}
    engine = engine_of(
        top_p=0.9, max_tokens=400, engine_args={"chat_template_kwargs": {"enable_thinking": False}}
    )
    draw(engine, [ask("a"), ask("b")], seed=3)
    draw(engine, [ask("c")], seed=3, greedy=True)
    [a], [b], [c] = (server.asked[text] for text in "abc")
    said = {
        "model": "m", "temperature": 1.0, "top_p": 0.9, "n": 2, "logprobs": True,
        "max_tokens": 99,  # one below the context
        "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0,
        "chat_template_kwargs": {"enable_thinking": False},
    }  # fmt: skip
    assert {name: a[name] for name in said} == said
    assert a["seed"] != b["seed"]
    assert {name: c[name] for name in ("temperature", "top_p", "n")} == {
        "temperature": 0.0, "top_p": 1.0, "n": 1,
    }  # fmt: skip
    engine = engine_of(engine_args={"seeded": False})
    draw(engine, [ask("d")])
    assert "seed" not in server.asked["d"][0]


def test_an_unknown_server_gets_no_field_that_it_may_not_know(server, engine_of, ask):
    draw(engine_of(), [ask("a")])
    assert not {"top_k", "min_p", "repetition_penalty"} & set(server.asked["a"][0])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model": "mm"}, r"model 'mm': not served by .* \(it serves: m, other\)"),
        ({"base_url": "http://127.0.0.1:9/v1"}, "no server answers at http://127.0.0.1:9/v1"),
        ({"base_url": None}, "engine openai needs a server: pass --base-url"),
        ({"base_url": "localhost:8000"}, "write it like http://localhost:8000/v1"),
        ({"base_url": "http://me:secret@localhost/v1"}, "a key goes into OPENAI_API_KEY"),
        ({"engine": "vllm"}, "base-url is for --engine openai, not vllm"),
        ({"tensor_parallel": 2}, "pass --tensor-parallel to the server"),
        ({"data_parallel": 2}, "pass --data-parallel to the server"),
        ({"engine_args": {"api_key": "x"}}, "set OPENAI_API_KEY in the environment"),
        ({"engine_args": {"n": 2}}, "engine-arg n cannot be set; pass --rollouts"),
        ({"engine_args": {"concurrency": 0}}, "concurrency is 0; it must be 1 or more"),
        ({"engine_args": {"timeout": "long"}}, "timeout is 'long'; it must be a number"),
    ],
)
def test_settings_that_cannot_work_are_refused_in_one_line(changes, reason, engine_of):
    with pytest.raises(ConfigError, match=reason) as caught:
        engine_of(**changes)
    assert "\n" not in str(caught.value) and "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("listing", "reason"),
    [({"hello": 1}, "lists no models; is it an OpenAI"), ({"data": []}, "it serves: nothing")],
)
def test_a_server_without_models_is_refused(listing, reason, server, engine_of):
    server.listing = listing
    with pytest.raises(ConfigError, match=reason):
        engine_of()


@pytest.fixture(scope="module")
def tokens_of(tiny_policy):
    """How many tokens the policy reads of a prompt, by transformers alone."""
    processor = AutoProcessor.from_pretrained(tiny_policy)

    def count(prompt):
        [asked] = prompt.messages
        images = iter(prompt.images)
        parts = [
            {"type": "image", "image": next(images)} if part["type"] == "image" else part
            for part in asked["content"]
        ]
        encoded = processor.apply_chat_template(
            [asked | {"content": parts}],
            tokenize=True, add_generation_prompt=True, return_dict=True, return_tensors="pt",
        )  # fmt: skip
        return encoded["input_ids"].shape[1]

    return count


@pytest.fixture
def by_folder(server, engine_of, tiny_policy):
    """An engine for the policy that ships, served under its folder's name."""
    server.listing = {"data": [{"id": str(tiny_policy)}]}

    def make(**changes):
        return engine_of(**{"model": str(tiny_policy)} | changes)

    return make


def test_a_server_that_reads_other_tokens_than_the_policys_processor_makes_stops_the_run(
    server, by_folder, ask, tokens_of
):
    for prompt, more in ((ask("how many?"), 1), (ask("what colour?", 0), -3)):
        own = tokens_of(prompt)
        server.usage = lambda body, told=own + more: {"prompt_tokens": told}
        with pytest.raises(
            RunError,
            match=rf"^{server.url} has read a prompt of {own + more} tokens where the policy's "
            rf"processor makes {own}; .*--chat-template and --mm-processor-kwargs",
        ) as raised:
            draw(by_folder(), [prompt])
        assert "\n" not in str(raised.value)


def test_a_server_that_reads_the_processors_tokens_is_compared_at_its_first_prompts_alone(
    server, by_folder, ask, tokens_of
):
    first, second, third = (ask(text, 0) for text in ("one?", "two are?", "three of them?"))
    told = {prompt.sample_id: tokens_of(prompt) for prompt in (first, second)}
    server.usage = lambda body: {"prompt_tokens": told.get(text_of(body), 1)}
    engine = by_folder(engine_args={"concurrency": 1}, rollouts=3)  # usage has the prompt once
    drawn = draw(engine, [first, second, third])
    assert [[r.prompt_tokens for r in rollouts] for rollouts in drawn] == [
        *([count] * 3 for count in told.values()), [1] * 3
    ]  # fmt: skip


def test_images_within_bounds_are_compared_at_the_size_that_they_have_there(
    server, by_folder, ask, tokens_of
):
    # A token is 16 x 16 pixels: 16 of 64 x 64, the policy's own size, and 4 of 32 x 32.
    prompt = ask("how many?", Image.new("RGB", (64, 64)))
    own = tokens_of(prompt)
    server.usage = lambda body: {"prompt_tokens": own - 12}
    [drawn] = draw(by_folder(min_pixels=1024, max_pixels=1024), [prompt])
    assert len(drawn) == 2
    with pytest.raises(
        RunError, match=f"{own - 12} tokens where the policy's processor makes {own}"
    ):
        draw(by_folder(), [prompt])


@pytest.mark.parametrize(
    ("usage", "changes"),
    [
        (None, {}),
        ({"prompt_tokens": 1}, {"model": "m"}),
        ({"prompt_tokens": 1}, {"engine_args": {"mm_processor_kwargs": {"max_pixels": 1024}}}),
    ],
    ids=["no usage", "a name", "other sizes asked for"],
)
def test_nothing_is_compared_where_the_processor_or_the_number_is_not_known(
    usage, changes, server, by_folder, ask
):
    server.listing["data"].append({"id": "m"})
    server.usage = lambda body: usage
    [drawn] = draw(by_folder(**changes), [ask("how many?", 0)])
    assert len(drawn) == 2


def test_a_name_is_looked_up_nowhere(engine_of, monkeypatch):
    def load(config):
        raise AssertionError("a hub may have it")

    monkeypatch.setattr("durian.engines.chat.load_chat", load)
    engine_of()


def test_a_folder_without_a_processor_is_a_name_like_any_other(server, engine_of, ask, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    server.listing = {"data": [{"id": str(tmp_path)}]}
    server.usage = lambda body: {"prompt_tokens": 1}
    [drawn] = draw(engine_of(model=str(tmp_path)), [ask("how many?")])
    assert len(drawn) == 2
