"""Prompts and drawing: every engine is given one and the same image, and nothing drawn is lost."""

import base64
import io
from concurrent.futures import Future
from itertools import islice
from types import SimpleNamespace

import pytest
from PIL import Image

from durian.config import ProfileConfig, SamplingConfig
from durian.engines.chat import load_chat
from durian.engines.loading import open_engine
from durian.engines.resizing import find_resizing
from durian.errors import ConfigError, RunError
from durian.images.decode import decode
from durian.measuring import sampling
from durian.measuring.decoding import decoded
from durian.measuring.look import Look
from durian.measuring.sampling import Begun, Drawn, build_prompt, open_policy, when_scored
from durian.readers.dataset import open_dataset
from durian.run.progress import Silent, Stopwatch
from durian.samples import Sample
from tests.engines.drawing import draw
from tests.engines.stand_in import StandIn
from tests.notes import Notes

SIDE = 64  # pixels, of photo_shapes; the shipped policy's sides are multiples of 16
HALVED = {"min_pixels": 256, "max_pixels": SIDE**2 // 4}  # its own least is 64 x 64


def config_of(dataset, tiny_policy, **changes):
    given = {"dataset": str(dataset), "out": "unused", "model": str(tiny_policy), "rollouts": 1,
             "engine": "transformers", "max_tokens": 40}  # fmt: skip
    return ProfileConfig(**given | changes)


def first_rows(config, rows):
    return list(
        decoded(
            islice(open_dataset(config.source).samples(), rows), keep=True,
            pixel_limit=config.pixel_limit, workers=1, progress=Silent(),
        )
    )  # fmt: skip


def greedy(config, samples):
    policy = open_policy(config, Silent())
    named = [(sample, seen, sample.sample_id) for sample, seen in samples]
    begun = list(policy.draw(named, Stopwatch(), ways=("greedy",)))
    drawn = [one.scored()["greedy"].rollouts for one in begun]
    policy.close()
    assert [one.item for one in begun] == [name for _, _, name in named]
    return drawn


def test_within_bounds_that_change_no_image_the_same_is_drawn(photo_shapes, tiny_policy):
    free = config_of(photo_shapes, tiny_policy)
    samples = first_rows(free, 6)
    assert greedy(config_of(photo_shapes, tiny_policy, max_pixels=SIDE**2), samples) == greedy(
        free, samples
    )


def test_an_engine_without_the_bounds_draws_as_one_that_has_them(photo_shapes, tiny_policy):
    # As the bounded processor, but the image is resized before the engine has it.
    bounded = config_of(photo_shapes, tiny_policy, **HALVED)
    samples = first_rows(bounded, 6)
    resizing = find_resizing(load_chat(bounded.sampling).processor.image_processor)
    prompts = {
        name: [
            build_prompt(s, seen, system_prompt=bounded.system_prompt, template=None, bounds=rule)
            for s, seen in samples
        ]
        for name, rule in (("as it is", None), ("resized", resizing))
    }
    assert {p.images[0].size for p in prompts["resized"]} == {(SIDE // 2, SIDE // 2)}
    drawn = []
    free = config_of(photo_shapes, tiny_policy, min_pixels=256).sampling
    for name, how in (("as it is", bounded.sampling), ("resized", free)):
        engine = open_engine(how)
        drawn.append(draw(engine, prompts[name], greedy=True))
        engine.close()
    assert drawn[0] == drawn[1]


def test_an_image_that_the_rule_refuses_is_left_to_the_engine(tiny_policy):
    chat = load_chat(SamplingConfig(model=str(tiny_policy), **HALVED))
    file = io.BytesIO()
    Image.new("RGB", (900, 2)).save(file, "PNG")
    seen = Look(decoded=(decode(file.getvalue(), pixel_limit=10**6, keep=True),))
    sample = Sample(sample_id="s", row=0, problem="?", answer="a", images=(file.getvalue(),))
    prompt = build_prompt(
        sample, seen, system_prompt="", template=None,
        bounds=find_resizing(chat.processor.image_processor),
    )  # fmt: skip
    assert prompt.images[0].size == (900, 2)


@pytest.fixture
def server():
    stand_in = StandIn()
    yield stand_in
    stand_in.stop()


def test_a_server_is_sent_images_within_the_bounds(photo_shapes, tiny_policy, server):
    server.listing = {"data": [{"id": str(tiny_policy)}]}
    config = config_of(photo_shapes, tiny_policy, engine="openai", base_url=server.url, **HALVED)
    greedy(config, first_rows(config, 2))
    sizes = set()
    for bodies in server.asked.values():
        for part in (p for body in bodies for p in body["messages"][-1]["content"]):
            if isinstance(part, dict) and part["type"] == "image_url":
                data = base64.b64decode(part["image_url"]["url"].partition(",")[2])
                sizes.add(Image.open(io.BytesIO(data)).size)
    assert sizes == {(SIDE // 2, SIDE // 2)}


def test_bounds_for_a_served_policy_without_its_processor_are_refused(photo_shapes, server):
    config = config_of(photo_shapes, "./m", engine="openai", base_url=server.url, **HALVED)
    with pytest.raises(ConfigError, match="need the processor of the served policy .* no such"):
        open_policy(config, Silent())


def test_a_processor_with_a_rule_of_its_own_is_left_alone_and_that_is_said(
    photo_shapes, tiny_policy, monkeypatch
):
    monkeypatch.setattr("durian.engines.chat.find_resizing", lambda processor: None)
    monkeypatch.setattr(
        sampling, "open_engine", lambda config: SimpleNamespace(told="", close=lambda: None)
    )
    notes = Notes()
    policy = open_policy(config_of(photo_shapes, tiny_policy, **HALVED), notes)
    policy.close()
    assert policy.resizing is None
    assert "sizes images by a rule of its own: they are handed over as they are" in notes.said[0]


def test_what_was_drawn_before_the_engine_failed_is_given_first():
    scores = Future[Drawn]()

    def drawn():
        yield Begun(item="first", drawn={"sampled": scores})
        scores.set_result(Drawn(error="none"))  # it was being scored until now
        raise RunError("the server is gone")

    given = when_scored(drawn())
    assert next(given).item == "first"
    with pytest.raises(RunError, match="the server is gone"):
        next(given)
